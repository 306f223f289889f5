"""When a sensor was not worn: hours in which two axes or three hardly change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.plausibility._epochs import EPOCH_US, Epochs

NONWEAR_SD_G = 0.013
"""g; an axis that varies less within an hour, standard deviation, …"""
NONWEAR_RANGE_G = 0.05
"""g; … and whose largest and smallest value are closer together, is still."""
NONWEAR_AXES = 2
"""Axes that must be still."""
NONWEAR_WINDOW_US = 3_600_000_000
"""µs; the hour that is looked at, …"""
NONWEAR_STEP_US = 900_000_000
"""µs; … every quarter of an hour."""

_PER_STEP = NONWEAR_STEP_US // EPOCH_US
_STEPS = NONWEAR_WINDOW_US // NONWEAR_STEP_US
_MOST_MISSING = 0.25
"""An hour of which more samples are missing tells nothing: at the ends of a recording, one quarter may be."""


def nonwear(epochs: Epochs) -> list[tuple[int, int]]:
    """The intervals in which the sensor was not worn, as (start, end) in µs since 1970, in order.

    An hour was not worn if for two of the three axes or all of them the standard deviation is below 13 mg and the range
    below 50 mg. Hours begin at every quarter of an hour; those not worn are joined, so that intervals are an hour long
    at least, at the ends of a recording three quarters, and end within a quarter of an hour of the truth. A sensor that
    slept in place cannot be told from one that was taken off.

    The windows and thresholds are those of van Hees et al. 2013 (PLoS ONE 8(4): e61691), which follow van Hees et al.
    2011 (PLoS ONE 6(7): e22922). Their texts join the two criteria by "or"; as in GGIR, the authors' own program
    (detect_nonwear_clipping, approach of 2023), an axis must meet both here: with "or", quiet sleep counts.

    Args:
        epochs: statistics in g.
    """
    if not len(epochs):
        return []
    step, first = epochs.number // _PER_STEP, int(epochs.number[0] // _PER_STEP)
    blocks = _Blocks.of(epochs, step - first)
    full = epochs.count.max() * _PER_STEP * _STEPS
    found: list[tuple[int, int]] = []
    for begin in np.flatnonzero(blocks.still(full * (1 - _MOST_MISSING))).tolist():
        start = (first + begin) * NONWEAR_STEP_US
        end = start + NONWEAR_WINDOW_US
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    begun, over = int(epochs.number[0]) * EPOCH_US, (int(epochs.number[-1]) + 1) * EPOCH_US
    return [(max(start, begun), min(end, over)) for start, end in found]


class _Blocks:
    """Sums of each axis over quarters of an hour; those without samples are empty."""

    def __init__(self, count: int) -> None:
        self.count = np.zeros(count)
        self.sums, self.squares = np.zeros((count, 3)), np.zeros((count, 3))
        self.low, self.high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)

    @classmethod
    def of(cls, epochs: Epochs, step: NDArray[np.int64]) -> _Blocks:
        blocks = cls(int(step[-1]) + 1)
        first = np.flatnonzero(np.diff(step, prepend=-1))
        places, count = step[first], epochs.count[:, None]
        blocks.count[places] = np.add.reduceat(epochs.count, first)
        blocks.sums[places] = np.add.reduceat(count * epochs.mean, first)
        blocks.squares[places] = np.add.reduceat(count * (np.square(epochs.sd) + np.square(epochs.mean)), first)
        blocks.low[places] = np.minimum.reduceat(epochs.low, first)
        blocks.high[places] = np.maximum.reduceat(epochs.high, first)
        return blocks

    def still(self, least: float) -> NDArray[np.bool_]:
        """Of each hour, by its first quarter, whether the sensor was not worn; an hour with few samples was."""
        if len(self.count) < _STEPS:
            return np.zeros(0, np.bool_)
        windows = np.lib.stride_tricks.sliding_window_view
        count = windows(self.count, _STEPS).sum(axis=1)
        known = np.maximum(count, 1)[:, None]
        mean = windows(self.sums, _STEPS, axis=0).sum(axis=2) / known
        sd = np.sqrt(np.maximum(windows(self.squares, _STEPS, axis=0).sum(axis=2) / known - np.square(mean), 0))
        low, high = windows(self.low, _STEPS, axis=0).min(axis=2), windows(self.high, _STEPS, axis=0).max(axis=2)
        quiet = (sd < NONWEAR_SD_G) & (high - low < NONWEAR_RANGE_G)
        return np.asarray((count >= least) & (quiet.sum(axis=1) >= NONWEAR_AXES))
