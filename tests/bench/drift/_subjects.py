"""A subject's recordings in two halves, of which one is the own history, and imitated days of either."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift import Reference
from har.monitoring.profiles import Profile, SubjectDay
from tests.bench.drift._data import Windows
from tests.bench.drift._model import Discriminant

Half = list[NDArray[np.int64]]
"""The rows of each of its recordings."""


def halves(windows: Windows, side: str, subject: str, *, in_time: bool) -> tuple[Half, Half]:
    """Rows for the own history, and for days: every other recording of each activity, or two parts of each recording.

    Between the two parts of a recording a window is left out, which shares samples with both.
    """
    rows = np.flatnonzero((windows.subjects == subject) & (windows.sides == side))
    recordings = [rows[windows.recordings[rows] == one] for one in np.unique(windows.recordings[rows])]
    history: Half = []
    days: Half = []
    if in_time:
        for one in recordings:
            if (middle := (len(one) - 1) // 2) > 0:
                history.append(one[:middle])
                days.append(one[middle + 1 :])
        return history, days
    dealt: defaultdict[str, int] = defaultdict(int)
    for one in recordings:
        names, counts = np.unique(windows.labels[one], return_counts=True)
        name = str(names[counts.argmax()])
        (days if dealt[name] % 2 else history).append(one)
        dealt[name] += 1
    return history, days


def drawn(half: Half, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of an imitated day: as many recordings as the half has, drawn with replacement."""
    return np.concatenate([half[one] for one in random.integers(len(half), size=len(half))])


@dataclass(frozen=True, eq=False)
class Imitation:
    """Makes the profiles of imitated days: the windows, the model that answers them, and its reference."""

    windows: Windows
    model: Discriminant
    reference: Reference

    def day(self, subject: str, variant: str, rows: NDArray[np.int64]) -> SubjectDay:
        """A subject's day of these windows, with a fault or without ("none")."""
        features = self.windows.features[variant][rows]
        answers = self.model.answers(features)
        counts = np.bincount(answers, minlength=len(self.model.classes))
        profile = Profile.of(
            features,
            self.windows.names,
            confidence=np.ones(len(rows), np.float32),  # always sure: confidence raises no alarm
            activities=dict(zip(self.model.classes, map(int, counts), strict=True)),
        )
        counted = self.reference.bins.count(features, answers, self.model.classes)
        return SubjectDay(subject, "", "", False, profile, counted)
