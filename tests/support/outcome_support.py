"""Outcomes drawn with a seed: each subject has a skill of its own, so that subjects differ as people do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from har.evaluation import Outcome

NAMES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")

MakeOutcome = Callable[..., Outcome]


def make_outcome(
    seed: int = 0,
    *,
    subjects: int = 6,
    windows: int = 600,
    activities: tuple[str, ...] = NAMES,
    skill: float = 2.5,
    spread: float = 0.5,
) -> Outcome:
    """Labels and subjects are the same for every seed; the answers are not."""
    world = np.random.default_rng(99)
    labels = world.integers(0, len(activities), windows)
    subject = world.integers(0, subjects, windows)
    skills = skill + spread * world.normal(size=subjects)
    scores = np.random.default_rng(seed).normal(size=(windows, len(activities)))
    scores[np.arange(windows), labels] += skills[subject]
    likelihood = np.exp(scores)
    return Outcome(
        labels=labels,
        probabilities=(likelihood / likelihood.sum(axis=1, keepdims=True)).astype(np.float32),
        subjects=np.array([f"s{index:02d}" for index in range(subjects)])[subject],
        activities=activities,
    )


def make_certain(labels: list[int], answers: list[int], subjects: list[str], activities: tuple[str, ...]) -> Outcome:
    """Exactly these answers, each with probability 1."""
    return Outcome(
        labels=np.array(labels, np.int64),
        probabilities=np.eye(len(activities), dtype=np.float32)[answers],
        subjects=np.array(subjects, str),
        activities=activities,
    )
