"""Windows of several distributions in, the same with a class per distribution and activity out.

After a drift one movement looks as another did before. A network that must say which of both worlds a window is from,
too, keeps them apart: its classes are pairs of regime and activity, and what it answers is their sum per activity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from har.training._signal import Signal
from har.windows import WindowSet

MOST_REPEATS = 10
"""A regime with few windows is shown this often an epoch at most: more would teach those windows, not the regime."""


def joint_signal(signal: Signal, regimes: int) -> Signal:
    """The signal with a class per regime and activity: those of regime 0 first."""
    names = tuple(f"{activity} in {regime}" for regime in range(regimes) for activity in signal.activities)
    return replace(signal, activities=names)


def joint_windows(windows: WindowSet, regimes: NDArray[np.integer], classes: int, seed: int) -> WindowSet:
    """The windows, labelled by regime and activity, each regime about as often as the most frequent one.

    Args:
        windows: labelled ones.
        regimes: (N,), from 0.
        classes: activities, K.
        seed: draws those that are repeated once more than others.
    """
    counts = np.bincount(regimes)
    random = np.random.default_rng(seed)
    rows = []
    for regime in np.flatnonzero(counts):
        own = np.flatnonzero(regimes == regime)
        wanted = min(int(counts.max()), MOST_REPEATS * len(own))
        rows += [np.tile(own, wanted // len(own)), random.permutation(own)[: wanted % len(own)]]
    chosen = np.sort(np.concatenate(rows))
    labels = (windows.labels + classes * regimes).astype(np.int16)
    return replace(windows, labels=labels).select(chosen)
