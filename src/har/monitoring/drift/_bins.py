"""Values, codes and profiles to shares of the same bins: what drift scores compare.

Every quantity is cut at the reference's extremes and quantiles. Values beyond the extremes have bins of their own,
which are empty in the reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from har.monitoring.profiles._profile import Profile

CUTS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Quantiles of the reference at which a quantity is cut."""
BINS = len(CUTS) + 1
"""Bins of a numeric quantity."""
ACTIVITY = "activity="
"""Prefix of the quantity that is an activity's share among the answers."""


def edges(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where to cut each column of (N, Q): float64 (Q, B - 1), increasing, from just below the smallest value."""
    cuts = np.quantile(np.asarray(values, np.float64), CUTS, axis=0)
    cuts[0] = np.nextafter(cuts[0].astype(np.float32), np.float32(-np.inf))
    by_column: NDArray[np.float64] = cuts.T.copy()
    return by_column


def codes(values: NDArray[np.floating], cuts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Which bin each value lies in, (N, Q): a bin holds what lies above its lower edge, up to the upper one."""
    found = np.empty(values.shape, np.uint8)
    for column in range(values.shape[1]):
        found[:, column] = np.searchsorted(cuts[column], values[:, column], "left")
    return found


def shares(found: NDArray[np.uint8], bins: int = BINS) -> NDArray[np.float64]:
    """Shares of the bins, float64 (Q, bins), from codes (N, Q)."""
    windows, columns = found.shape
    flat = found.astype(np.int64) + bins * np.arange(columns)
    counted: NDArray[np.float64] = np.bincount(flat.ravel(), minlength=bins * columns).reshape(columns, bins) / windows
    return counted


def profile_shares(
    profiles: Sequence[Profile], names: Sequence[str], cuts: NDArray[np.float64], activities: Sequence[str]
) -> NDArray[np.float64]:
    """Shares of all the profiles' windows together, float64 (Q + K, B): numeric quantities, then activities.

    Sketches are not merged, which would thin them by chance: each profile's shares are weighted by its number of
    values, so the same profiles give the same shares in every run. An activity has two bins: its share, and the rest.
    A column without values is NaN.
    """
    rows = np.full((len(names) + len(activities), BINS), np.nan)
    counts = np.array([[profile.count(name) for name in names] for profile in profiles], np.float64)
    total = np.zeros((len(names), BINS))
    for profile, weights in zip(profiles, counts, strict=True):
        below = np.zeros((len(names), BINS + 1))
        below[:, -1] = 1.0
        for row in np.flatnonzero(weights).tolist():
            below[row, 1:-1] = profile.cdf(names[row], cuts[row])
        total += weights[:, None] * np.diff(below, axis=1)
    known = counts.sum(0) > 0
    rows[: len(names)][known] = total[known] / counts.sum(0)[known, None]
    answers: Counter[str] = Counter()
    for profile in profiles:
        answers.update(profile.activities)
    rows[len(names) :] = activity_shares(answers, activities)
    clipped: NDArray[np.float64] = np.clip(rows, 0.0, 1.0)
    return clipped


def activity_shares(counts: Mapping[str, int], activities: Sequence[str]) -> NDArray[np.float64]:
    """Per activity its share of the answers and the rest, float64 (K, B)."""
    rows = np.zeros((len(activities), BINS))
    total = max(1, sum(counts.values()))
    rows[:, 0] = [counts.get(name, 0) / total for name in activities]
    rows[:, 1] = 1.0 - rows[:, 0]
    return rows


def activity_codes(answers: NDArray[np.str_], activities: Sequence[str]) -> NDArray[np.uint8]:
    """Bin 0 where the answer is the activity, else 1; uint8 (N, K)."""
    return np.stack([(answers != name).astype(np.uint8) for name in activities], axis=1)


def family(name: str) -> str:
    """The group of quantities whose alarm level this one shares: those that vary between persons in the same way.

    How hard people move shows in all log powers at once; how they hold their arm shows in the means of all axes.
    """
    if name.startswith(ACTIVITY):
        return "activity"
    series, dot, kind = name.partition(".")
    if not dot:
        return name
    if kind.startswith(("log_", "band_")):
        return "power"
    kind = kind.split("_")[0]
    return f"norm {kind}" if series.endswith("_norm") else kind
