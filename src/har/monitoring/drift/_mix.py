"""Two sets of windows, counted by predicted activity, compared within the same mix of activities.

Each activity of the day is compared with the same activity of the history, and the results are averaged with the day's
mix as weights: a day with more walking is no drift of a subject who walks more on that day. Windows of activities that
the history does not know are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift.scores import Score

_LEAST = 4
"""An activity with fewer windows in the history is not known to it."""
_COVERED = 0.5
"""Less than this share of the day's windows of known activities is no comparison."""


def day_weights(day: NDArray[np.int64], history: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Each activity's weight in the comparison, float64 (K,), summing to 1; None: too few windows can be compared.

    Args:
        day: counts per activity, feature and bin, (K, F, B).
        history: the same of the history.
    """
    of_day, of_history = day.sum(-1).max(1), history.sum(-1).max(1)
    compared = np.where(of_history >= _LEAST, of_day, 0)
    if not compared.any() or compared.sum() < _COVERED * of_day.sum():
        return None
    weights: NDArray[np.float64] = compared / compared.sum()
    return weights


def compare(
    score: Score, day: NDArray[np.int64], history: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The score of each feature, averaged over activities, float64 (F,); counts (K, F, B), weights (K,)."""
    rows = np.flatnonzero(weights)
    of_day, of_history = day[rows].sum(-1), history[rows].sum(-1)
    known = (of_day > 0) & (of_history > 0)
    shares = [counts[rows] / np.maximum(of, 1)[..., None] for counts, of in ((day, of_day), (history, of_history))]
    found: NDArray[np.float64] = weights[rows] @ np.where(known, score.formula(*shares), 0.0)
    return found


def mean(sums: NDArray[np.float64], counts: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each feature with this mix of activities, float64 (F,); sums (K, F), counts (K, F, B)."""
    rows = np.flatnonzero(weights)
    found: NDArray[np.float64] = weights[rows] @ (sums[rows] / np.maximum(counts[rows].sum(-1), 1))
    return found
