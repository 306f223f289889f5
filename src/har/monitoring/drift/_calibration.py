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

from har.monitoring.drift._scores import distance, shares, student_t

GRID = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Numbers of windows for which days are imitated; a larger day counts as the last."""
DRAWS = 24
"""Imitated days per subject and number of windows."""
MOST_SUBJECTS = 40
"""More reference subjects than this: so many of them are imitated, evenly spread."""
PRIOR_VARIATION = 1.4
"""How much a subject's largest distance within a family varies between subjects and days, as a share of its mean,
before any has been seen. Seven subjects show 0.5 to 0.7; the one who moves twice as hard is seldom among them."""
PRIOR_FREEDOM = 7.0
"""How many degrees of freedom that guess is worth: as much as eight subjects."""
LEAST_LEVEL = 0.02
"""No limit is lower: about a Hellinger distance of 0.15, below which no one would act, however many subjects agree."""
UNCOUNTED = "confidence"
"""Scored, but no reason to alarm: a model is surer of the subjects that it was trained on than of any others."""


@dataclass(frozen=True)
class Level:
    """How far a subject's day lies from the reference without drift.

    Attributes:
        windows: numbers of windows, (G,).
        families: per quantity the family whose level it shares, (Q,).
        mean: per number of windows and family (in order of name) the largest distance in it of a subject's day; the
            subjects' mean, float64 (G, families).
        deviation: of the same, between subjects and days, float64 (G, families).
        freedom: degrees of freedom of the deviation.
        subjects: in the reference.
    """

    windows: tuple[int, ...]
    families: tuple[str, ...]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    freedom: float
    subjects: int

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which quantities a day's alarm counts, (Q,)."""
        return np.array([name != UNCOUNTED for name in self.families])

    def limits(self, windows: int, false_alarms: float) -> NDArray[np.float64]:
        """Per quantity, the distance beyond which a subject's day of so many windows alarms, float64 (Q,).

        Without drift one of them is exceeded with the probability `false_alarms`, which the families share. Per family
        it is the upper end of a prediction interval for one more draw from a normal distribution of which n draws are
        known: mean + t s √(1 + 1/n) (Whitmore 1986).
        """
        names = sorted(set(self.families))
        each = false_alarms / max(1, len(set(names) - {UNCOUNTED}))
        mean, deviation = self._at(windows, self.mean), self._at(windows, self.deviation)
        level: NDArray[np.float64] = mean + student_t(1.0 - each, self.freedom) * deviation * math.sqrt(
            1.0 + 1.0 / self.subjects
        )
        return np.maximum(level, LEAST_LEVEL)[[names.index(name) for name in self.families]]

    def _at(self, windows: int, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Between the rows of two numbers of windows, by their logarithm."""
        place = float(np.interp(math.log(max(1, windows)), np.log(self.windows), np.arange(len(self.windows))))
        low = int(place)
        high = min(low + 1, len(self.windows) - 1)
        between: NDArray[np.float64] = rows[low] + (place - low) * (rows[high] - rows[low])
        return between


def shrink(subjects: int, others: int) -> float:
    """How much smaller squared distances of the mean of so many subjects from the mean of the others are than one's.

    Both means scatter with the variance of a subject over their number, and a squared distance, which `distance` is
    near 0, is proportional to the sum of both.
    """
    return (1.0 / subjects + 1.0 / others) / (1.0 + 1.0 / others)


def calibrate(
    subjects: Sequence[NDArray[np.uint8]],
    recordings: Sequence[NDArray[np.integer]],
    families: Sequence[str],
    *,
    random: np.random.Generator,
) -> Level:
    """Learn the level from reference subjects, two at least.

    Args:
        subjects: per subject the codes of its windows, uint8 (N, Q).
        recordings: per subject which recording each window is from, (N,); windows of one recording side by side.
        families: per quantity the family that it belongs to, (Q,).
        random: draws the days.
    """
    whole = np.stack([shares(found) for found in subjects])
    chosen = np.unique(np.linspace(0, len(subjects) - 1, min(len(subjects), MOST_SUBJECTS)).astype(int))
    freedom = len(chosen) - 1
    total = whole.sum(0)
    members = [np.flatnonzero(np.array(families) == name) for name in sorted(set(families))]
    means, deviations = [], []
    for windows in GRID:
        largest = np.empty((len(chosen), DRAWS, len(members)))
        for row, subject in enumerate(chosen):
            others = (total - whole[subject]) / (len(subjects) - 1)
            drawn = [shares(subjects[subject][_draw(recordings[subject], windows, random)]) for _ in range(DRAWS)]
            days = distance(np.stack(drawn), others)
            largest[row] = np.stack([days[:, of].max(-1) for of in members], axis=-1)
        mean = largest.mean((0, 1))
        variance = largest.mean(1).var(0, ddof=1) + largest.var(1, ddof=1).mean(0)
        prior = (PRIOR_VARIATION * mean) ** 2
        means.append(mean)
        deviations.append(np.sqrt((PRIOR_FREEDOM * prior + freedom * variance) / (PRIOR_FREEDOM + freedom)))
    return Level(
        windows=GRID,
        families=tuple(families),
        mean=np.stack(means),
        deviation=np.stack(deviations),
        freedom=PRIOR_FREEDOM + freedom,
        subjects=len(subjects),
    )


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
