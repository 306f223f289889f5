"""Learns from the reference subjects the level at which each drift score alarms: how far a day lies off without drift.

A day is simulated from recordings of one subject, drawn with replacement until it has a given number of windows, and
compared with all the *other* reference subjects. Subjects differ, the mix of exercises changes every day, and few
windows make distances larger: so the level is learned for several numbers of windows and interpolated between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift._bins import shares
from har.monitoring.drift._json import Array
from har.monitoring.drift.scores import Score, alarming

GRID = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Numbers of windows of the simulated days; a longer day is judged like the last."""
DRAWS = 24
"""Simulated days per subject and number of windows."""
MOST_SUBJECTS = 40
"""Days are simulated for at most this many reference subjects, evenly spread."""
PRIOR_VARIATION = 1.4
"""Prior for how much a subject's largest score within a family varies between subjects and days, over its mean. Seven
subjects show 0.5 to 0.7; the one who moves twice as hard is seldom among them."""
PRIOR_FREEDOM = 7.0
"""Degrees of freedom of the prior: it weighs as much as eight subjects."""
UNCOUNTED = "confidence"
"""A quantity that is scored but never alarms: a model is surer of its training subjects than of any others."""


@dataclass(frozen=True, eq=False)
class SubjectWindows:
    """A reference subject's windows.

    Attributes:
        codes: the bin of each quantity, uint8 (N, Q).
        recordings: which recording each window is from, (N,); windows of one recording are adjacent and in order.
    """

    codes: NDArray[np.uint8]
    recordings: NDArray[np.integer]


@dataclass(frozen=True)
class Level:
    """How far a subject's day lies from the reference without drift, by one score.

    Attributes:
        windows: numbers of windows, (G,).
        families: per quantity the family whose level it shares, (Q,).
        mean: per number of windows and family (in order of name) the largest score within the family on a subject's
            day: its mean over subjects, float64 (G, families).
        deviation: its standard deviation between subjects and days, float64 (G, families).
        freedom: degrees of freedom of the deviation.
        subjects: how many the reference has.
    """

    windows: tuple[int, ...]
    families: tuple[str, ...]
    mean: Array
    deviation: Array
    freedom: float
    subjects: int

    def limits(self, windows: int, false_alarms: float) -> NDArray[np.float64]:
        """Per quantity, the score beyond which a subject's day of this many windows alarms, float64 (Q,).

        Without drift, one of them is exceeded with probability `false_alarms`, which the families share. Per family the
        limit is the upper end of a prediction interval for one more draw from a normal distribution of which n draws
        are known: mean + t s √(1 + 1/n) (Whitmore 1986).
        """
        from scipy.special import stdtrit  # takes 0.15 s, so it is imported where it is used

        names = sorted(set(self.families))
        each = false_alarms / max(1, len(set(names) - {UNCOUNTED}))
        mean, deviation = self._at(windows, self.mean), self._at(windows, self.deviation)
        t = float(stdtrit(self.freedom, 1.0 - each))
        level: NDArray[np.float64] = mean + t * deviation * math.sqrt(1.0 + 1.0 / self.subjects)
        return level[[names.index(name) for name in self.families]]

    def relative(self, values: NDArray[np.float64], windows: int) -> NDArray[np.float64]:
        """Per quantity, the largest of its family's values (Q,) over what it is on average without drift, (Q,)."""
        names = sorted(set(self.families))
        places = np.array([names.index(name) for name in self.families])
        largest = np.array([np.abs(values[places == place]).max() for place in range(len(names))])
        over: NDArray[np.float64] = (largest / np.maximum(self._at(windows, self.mean), 1e-12))[places]
        return over

    def _at(self, windows: int, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The row for a number of windows, interpolated by its logarithm."""
        place = float(np.interp(math.log(max(1, windows)), np.log(self.windows), np.arange(len(self.windows))))
        low = int(place)
        high = min(low + 1, len(self.windows) - 1)
        between: NDArray[np.float64] = rows[low] + (place - low) * (rows[high] - rows[low])
        return between


def shrink(score: Score, subjects: int, others: int | None = None) -> float:
    """The factor by which the mean of several subjects scores lower than one subject, without drift.

    Args:
        score: the score.
        subjects: how many there are.
        others: how many the common reference has; None: each subject is compared with something of its own.

    Both means vary with the variance of a subject over their number. A score that grows like a square (`order` 2) is
    proportional to the sum of both variances near 0, one that grows in proportion to its root.
    """
    noise = 0.0 if others is None else 1.0 / others
    ratio = (1.0 / subjects + noise) / (1.0 + noise)
    return ratio if score.order == 2 else float(ratio ** (score.order / 2))


def calibrate(
    subjects: Sequence[SubjectWindows], families: Sequence[str], *, random: np.random.Generator
) -> dict[str, Level]:
    """Learn the level of every score that alarms.

    Args:
        subjects: the reference subjects, two at least.
        families: per quantity the family that it belongs to, (Q,).
        random: draws the days; all scores are calibrated on the same ones.

    Returns:
        The levels by the score's name.
    """
    whole = np.stack([shares(one.codes) for one in subjects])
    chosen = np.unique(np.linspace(0, len(subjects) - 1, min(len(subjects), MOST_SUBJECTS)).astype(int))
    total = whole.sum(0)
    members = [np.flatnonzero(np.array(families) == name) for name in sorted(set(families))]
    scores = alarming()
    # Per number of windows: scores, subjects, days, families.
    largest = np.empty((len(GRID), len(scores), len(chosen), DRAWS, len(members)))
    for size, windows in enumerate(GRID):
        for row, subject in enumerate(chosen):
            others = (total - whole[subject]) / (len(subjects) - 1)
            one = subjects[subject]
            days = np.stack([shares(one.codes[draw(one.recordings, windows, random)]) for _ in range(DRAWS)])
            for number, score in enumerate(scores):
                found = score.formula(days, others)
                largest[size, number, row] = np.stack([found[:, of].max(-1) for of in members], axis=-1)
    return {score.name: level_of(largest[:, number], families, len(subjects)) for number, score in enumerate(scores)}


def level_of(
    largest: NDArray[np.float64], families: Sequence[str], subjects: int, variation: float = PRIOR_VARIATION
) -> Level:
    """From the largest scores of simulated days, float64 (G, subjects, days, families); `variation`: the prior's."""
    freedom = largest.shape[1] - 1
    means, deviations = [], []
    for days in largest:
        mean = days.mean((0, 1))
        variance = days.mean(1).var(0, ddof=1) + days.var(1, ddof=1).mean(0)
        prior = (variation * mean) ** 2
        means.append(mean)
        deviations.append(np.sqrt((PRIOR_FREEDOM * prior + freedom * variance) / (PRIOR_FREEDOM + freedom)))
    return Level(
        windows=GRID,
        families=tuple(families),
        mean=np.stack(means),
        deviation=np.stack(deviations),
        freedom=PRIOR_FREEDOM + freedom,
        subjects=subjects,
    )


def draw(recordings: NDArray[np.integer], windows: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a simulated day: whole recordings drawn with replacement, the last cut to a run of its windows."""
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
