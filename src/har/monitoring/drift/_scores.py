"""Two distributions as shares of the same bins in, how far they lie apart out.

Every quantity is cut at the same points: the reference's extremes and quantiles. What lies beyond the extremes has
bins of its own, which the reference leaves empty.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from har.monitoring.profiles._profile import Profile

CUTS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Quantiles of the reference between whose values windows are counted."""
BINS = len(CUTS) + 1
"""Bins of a numeric quantity."""
ACTIVITY = "activity="
"""How the share of an activity among the answers is called, before its name."""

_SMOOTHING = 0.005
_RARE = 1e-3


def edges(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where to cut each column of (N, Q): float64 (Q, B - 1), increasing; the first lies just below the least value."""
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
    profile: Profile, names: Sequence[str], cuts: NDArray[np.float64], activities: Sequence[str]
) -> NDArray[np.float64]:
    """The same from a profile's sketches, float64 (Q + K, B): numeric quantities, then activities.

    An activity has two bins: its share, and the rest. A column without values is NaN.
    """
    rows = np.zeros((len(names) + len(activities), BINS))
    for row, (name, at) in enumerate(zip(names, cuts, strict=True)):
        rows[row] = np.diff(profile.cdf(name, at), prepend=0.0, append=1.0)
    rows[len(names) :] = activity_shares(profile.activities, activities)
    return np.clip(rows, 0.0, 1.0)


def activity_shares(counts: Mapping[str, int], activities: Sequence[str]) -> NDArray[np.float64]:
    """Per activity its share of the answers and the rest, float64 (K, B)."""
    rows = np.zeros((len(activities), BINS))
    total = max(1, sum(counts.values()))
    rows[:, 0] = [counts.get(name, 0) / total for name in activities]
    rows[:, 1] = 1.0 - rows[:, 0]
    return rows


def hellinger(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hellinger distance 0 … 1 over the last axis, √(1 − Σ √(p q)) (Hellinger 1909; Le Cam 1986)."""
    affinity = np.sqrt(day * reference).sum(-1)
    distance: NDArray[np.float64] = np.sqrt(np.clip(1.0 - affinity, 0.0, 1.0))
    return distance


def psi(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Population stability index over the last axis, Σ (p − q) ln(p / q) (Siddiqi 2006, Credit Risk Scorecards).

    Shares under 0.001 count as 0.001: an empty bin would make it infinite.
    """
    p, q = np.maximum(day, _RARE), np.maximum(reference, _RARE)
    index: NDArray[np.float64] = ((p - q) * np.log(p / q)).sum(-1)
    return index


def kolmogorov(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest difference of the two distribution functions at the edges, 0 … 1 (Kolmogorov 1933; Smirnov 1939)."""
    largest: NDArray[np.float64] = np.abs(np.cumsum(day - reference, axis=-1)).max(-1)
    return np.minimum(largest, 1.0)


def distance(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far two distributions lie apart on the scale on which days are judged: −½ ln((1 − H² + ε)(1 − D² + ε)).

    H is Hellinger's distance, D Kolmogorov's: the first sees a distribution leave its place, the second sees it move
    within it. Either term is like the square while the distributions overlap, and goes on growing while the overlap
    vanishes, where H and D themselves hardly move (−ln(1 − H²) is the distance of Bhattacharyya 1943). ε = 0.005
    bounds it at 5.3; it is 0 at least.
    """
    overlap = (1.0 - hellinger(day, reference) ** 2 + _SMOOTHING) * (1.0 - kolmogorov(day, reference) ** 2 + _SMOOTHING)
    found: NDArray[np.float64] = np.maximum(0.0, -0.5 * np.log(overlap))
    return found


def family(name: str) -> str:
    """Which quantities share an alarm level with this one: those of one kind, which differ alike between persons.

    How hard people move shows in all logarithms of powers at once, how they hold their arm in the means of axes.
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


@functools.cache
def student_t(probability: float, freedom: float) -> float:
    """Quantile of Student's t, for probabilities of 0.5 … 0.9999.

    With t = √ν tan θ the density is that of θ, cos^(ν − 1) θ up to a constant, which is summed up and read backwards.
    """
    angle = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(angle) ** (freedom - 1.0)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(freedom) * math.tan(float(np.interp((2.0 * probability - 1.0) * mass[-1], mass, angle)))
