"""Training on windows of several distributions, called regimes.

After a drift, one activity can look like another did before. The network is therefore trained on (regime, activity)
classes, and their probabilities are summed per activity at inference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from har.training._signal import Signal
from har.windows import WindowSet

MOST_REPEATS = 10
"""Repeat a window of a small regime at most this often per epoch; more would overfit to the few windows."""


def joint_signal(signal: Signal, regimes: int) -> Signal:
    """The signal with one class per regime and activity, those of regime 0 first."""
    names = tuple(f"{activity} in {regime}" for regime in range(regimes) for activity in signal.activities)
    return replace(signal, activities=names)


def joint_windows(windows: WindowSet, regimes: NDArray[np.integer], classes: int, seed: int) -> WindowSet:
    """The windows labelled by regime and activity, with smaller regimes repeated to the size of the largest.

    Args:
        windows: labelled windows.
        regimes: (N,), from 0.
        classes: number of activities, K.
        seed: chooses the windows that are repeated once more than the others of their regime.
    """
    counts = np.bincount(regimes)
    random = np.random.default_rng(seed)
    rows = []
    for regime in np.flatnonzero(counts):
        members = np.flatnonzero(regimes == regime)
        size = min(int(counts.max()), MOST_REPEATS * len(members))
        rows += [np.tile(members, size // len(members)), random.permutation(members)[: size % len(members)]]
    chosen = np.sort(np.concatenate(rows))
    labels = (windows.labels + classes * regimes).astype(np.int16)
    return replace(windows, labels=labels).select(chosen)
