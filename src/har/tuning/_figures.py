"""Answers by subject as counts, and what they come to: a figure, its interval over subjects, a paired difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Counts = Mapping[str, NDArray[np.int64]]
"""For each subject, windows by true activity and answer, int64 (K, K)."""


@dataclass(frozen=True)
class Interval:
    """A figure, and the central 95 % of it over resampled subjects."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """A figure of one configuration less that of another on the same subjects."""

    subjects: int
    better: int
    """Subjects that it is above 0 for."""


def count(
    labels: NDArray[np.integer], answers: NDArray[np.integer], subjects: NDArray[np.str_], activities: int
) -> dict[str, NDArray[np.int64]]:
    """Windows by true activity and answer, for each subject."""
    found = {}
    for subject in np.unique(subjects).tolist():
        mine = subjects == subject
        cells = labels[mine].astype(np.int64) * activities + answers[mine]
        found[str(subject)] = np.bincount(cells, minlength=activities**2).reshape(activities, activities)
    return found


def figure(counts: NDArray[np.integer], metric: str) -> NDArray[np.float64]:
    """Accuracy or macro-F1 of counts (…, K, K); an activity without a window and without an answer is left out.

    F1 of an activity is 2 TP / (2 TP + FP + FN); macro-F1 is its mean over activities.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    if metric == "accuracy":
        return np.asarray(right.sum(-1) / counts.sum((-2, -1)))
    involved = counts.sum(-1) + counts.sum(-2)
    scores = np.divide(2 * right, involved, out=np.zeros_like(right), where=involved > 0)
    return np.asarray(scores.sum(-1) / (involved > 0).sum(-1))


def interval(counts: Counts, metric: str) -> Interval:
    """The figure over all subjects, and its interval over subjects (percentile bootstrap)."""
    every = np.stack([counts[subject] for subject in sorted(counts)])
    drawn = figure(_resampled(every), metric)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(figure(every.sum(0), metric)), float(low), float(high))


def compare(one: Counts, other: Counts, metric: str) -> Difference:
    """The figure of one less that of the other, paired by subject.

    Raises:
        ValueError: they are of other subjects.
    """
    subjects = sorted(one)
    if subjects != sorted(other):
        raise ValueError("other subjects")
    ours, theirs = (np.stack([counts[subject] for subject in subjects]) for counts in (one, other))
    drawn = figure(_resampled(ours), metric) - figure(_resampled(theirs), metric)
    low, high = np.quantile(drawn, (0.025, 0.975))
    better = int((figure(ours, metric) > figure(theirs, metric)).sum())
    value = float(figure(ours.sum(0), metric) - figure(theirs.sum(0), metric))
    return Difference(value, float(low), float(high), len(subjects), better)


def _resampled(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of subjects drawn with replacement, (RESAMPLES, K, K); equal numbers of subjects give equal draws."""
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    return np.asarray(np.tensordot(drawn, counts, axes=1))
