"""The bootstrap over subjects: how far a figure would move if other people had worn the sensors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_SUBJECTS = 3
"""With fewer, resampling subjects says nothing about the next one."""
RESAMPLES = 2000


def resample_subjects(subjects: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """How often each subject is drawn, (R, S): S draws with replacement, R times."""
    return np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)


def bootstrap_mean(
    values: NDArray[np.floating] | NDArray[np.bool_],
    subjects: NDArray[np.str_],
    percentiles: tuple[float, ...],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, ...] | None:
    """Percentiles of the mean over windows when whole subjects are resampled (cluster bootstrap).

    Args:
        values: (N,), one per window, such as whether it was answered correctly.
        subjects: str (N,), whose window it is.
        percentiles: 0 … 100, such as (5, 95).
        resamples: R.
        seed: of the draws.

    Returns:
        One figure per percentile; None with fewer than three subjects.
    """
    names, subject = np.unique(subjects, return_inverse=True)
    if len(names) < LEAST_SUBJECTS:
        return None
    weights = resample_subjects(len(names), resamples, seed)
    means = (weights @ np.bincount(subject, values)) / (weights @ np.bincount(subject))
    return tuple(float(value) for value in np.percentile(means, percentiles))
