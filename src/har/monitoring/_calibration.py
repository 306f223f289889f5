"""Reference subjects in, the alarm level out: how far a subject's day lies from the other subjects without any drift.

A day is imitated by recordings of one subject, drawn with replacement until it has so many windows, and compared with
all the *other* reference subjects. Subjects differ, exercises are mixed anew every day, and few windows make distances
larger: the level is therefore learned for several numbers of windows, and read between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.monitoring._scores import hellinger, shares, stretched, student_t

GRID = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Numbers of windows for which days are imitated; a larger day counts as the last."""
DRAWS = 24
"""Imitated days per subject and number of windows."""
MOST_SUBJECTS = 40
"""More reference subjects than this: so many of them are imitated, evenly spread."""
PRIOR_DEVIATION = 0.25
"""How much a subject's largest distance varies between subjects and days, before any has been seen."""
PRIOR_FREEDOM = 7.0
"""How many degrees of freedom that guess is worth: as much as eight subjects."""
LEAST_LEVEL = 0.02
"""No level lies lower: about a Hellinger distance of 0.2, below which no one would act, however many subjects agree."""


@dataclass(frozen=True)
class Level:
    """What the largest distance of a subject's day from the reference is without drift.

    Attributes:
        windows: numbers of windows, (G,).
        excess: per number of windows and quantity how much its distance is larger than the quantities' average,
            float64 (G, Q): what it may have before it counts; never negative.
        mean: largest distance of a subject's day less its excess, the subjects' mean, (G,).
        deviation: of it, between subjects and days, (G,).
        freedom: of the deviation, degrees.
        subjects: in the reference.
    """

    windows: tuple[int, ...]
    excess: NDArray[np.float64]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    freedom: float
    subjects: int

    def excess_at(self, windows: float) -> NDArray[np.float64]:
        """`excess` for a day with so many windows, float64 (Q,)."""
        place = np.interp(math.log(windows), np.log(self.windows), np.arange(len(self.windows)))
        low = int(place)
        high = min(low + 1, len(self.windows) - 1)
        between: NDArray[np.float64] = self.excess[low] + (place - low) * (self.excess[high] - self.excess[low])
        return between

    def at(self, windows: float, false_alarms: float) -> float:
        """The level that one new subject's day of so many windows exceeds with this probability, without drift.

        The upper end of a prediction interval for one more draw from a normal distribution of which `subjects` draws
        are known: mean + t √(1 + 1/n) s (Whitmore 1986).
        """
        mean, deviation = (
            float(np.interp(math.log(windows), np.log(self.windows), values)) for values in (self.mean, self.deviation)
        )
        return mean + student_t(1.0 - false_alarms, self.freedom) * deviation * math.sqrt(1.0 + 1.0 / self.subjects)


def shrink(subjects: int, others: int) -> float:
    """How much smaller squared distances of the mean of so many subjects from the mean of the others are than one's.

    Both means scatter with the variance of a subject over their number, and a squared distance (a Hellinger distance
    near 0 is one) is proportional to the sum of both.
    """
    return (1.0 / subjects + 1.0 / others) / (1.0 + 1.0 / others)


def calibrate(
    subjects: Sequence[NDArray[np.uint8]],
    recordings: Sequence[NDArray[np.integer]],
    *,
    random: np.random.Generator,
) -> Level:
    """Learn the level from reference subjects, two at least.

    Args:
        subjects: per subject the codes of its windows, uint8 (N, Q).
        recordings: per subject which recording each window is from, (N,); windows of one recording in their order.
        random: draws the days.
    """
    whole = np.stack([shares(found) for found in subjects])
    chosen = np.unique(np.linspace(0, len(subjects) - 1, min(len(subjects), MOST_SUBJECTS)).astype(int))
    total = whole.sum(0)
    excess, mean, deviation = [], [], []
    for windows in GRID:
        found = np.empty((len(chosen), DRAWS, whole.shape[1]))
        for row, subject in enumerate(chosen):
            others = (total - whole[subject]) / (len(subjects) - 1)
            for draw in range(DRAWS):
                day = shares(subjects[subject][_draw(recordings[subject], windows, random)])
                found[row, draw] = stretched(hellinger(day, others))
        per_subject = found.mean(1)
        allowed = _excess(per_subject.mean(0))
        # A subject is judged by what the others allow.
        rest = (per_subject.sum(0) - per_subject) / max(1, len(chosen) - 1)
        largest = np.stack([(one - _excess(means)).max(-1) for one, means in zip(found, rest, strict=True)])
        variance = largest.mean(1).var(ddof=1) + largest.var(1, ddof=1).mean()
        freedom = len(chosen) - 1
        pooled = (PRIOR_FREEDOM * PRIOR_DEVIATION**2 + freedom * variance) / (PRIOR_FREEDOM + freedom)
        excess.append(allowed)
        mean.append(float(largest.mean()))
        deviation.append(math.sqrt(pooled))
    return Level(GRID, np.stack(excess), tuple(mean), tuple(deviation), PRIOR_FREEDOM + len(chosen) - 1, len(subjects))


def _excess(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    excess: NDArray[np.float64] = 0.5 * np.maximum(0.0, distances - distances.mean())
    return excess


def _draw(recordings: NDArray[np.integer], windows: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of an imitated day: whole recordings in any order, with repetition, the last a run of its windows."""
    starts = np.flatnonzero(np.diff(recordings, prepend=recordings[0] - 1))
    bounds = np.append(starts, len(recordings))
    rows: list[NDArray[np.int64]] = []
    missing = windows
    while missing > 0:
        one = random.integers(len(starts))
        first, end = int(bounds[one]), int(bounds[one + 1])
        length = min(end - first, missing)
        first += int(random.integers(end - first - length + 1))
        rows.append(np.arange(first, first + length))
        missing -= length
    return np.concatenate(rows)


def activity_codes(answers: NDArray[np.str_], activities: Sequence[str]) -> NDArray[np.uint8]:
    """Bin 0 where the answer is the activity, else 1; uint8 (N, K)."""
    return np.stack([(answers != name).astype(np.uint8) for name in activities], axis=1)
