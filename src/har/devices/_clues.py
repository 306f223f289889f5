"""What a stretch of motion shows about the ways its axes lie, its rate and the unit of its angular rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.devices._axes import law
from har.devices._shape import Neighbours, Shape
from har.devices._signal import Motion
from har.devices._ways import LAW, LAW_BLOCKS, evidence

TIMES = (1.0, 0.5, 2.0)
"""How often faster than stated the samples may have been taken."""
DEGREES = 180 / math.pi
_MOVES = 0.8
"""m/s²; a window in which the acceleration varies by less, as standard deviation, tells nothing about turns."""


@dataclass(frozen=True, eq=False)
class Clues:
    """Of one device's motion.

    Attributes:
        law: float64 (B, 48), of `har.devices._axes.law`; None: no gyroscope, or less than four seconds.
        near: float64 (N, 48), nearness of the accelerometer's windows to the reference's; None: no reference.
        near_rate: that of the gyroscope's windows.
        tempo: mean log frequency if the rate is each of `TIMES` the stated one, float64 (3,); NaN: it never moves.
        turning: log of the median angular rate (rad/s) while it moves; NaN: it never moves.
        high: median of `Motion.highs`; NaN: unknown.
    """

    law: NDArray[np.float64] | None
    near: NDArray[np.float64] | None
    near_rate: NDArray[np.float64] | None
    tempo: NDArray[np.float64]
    turning: float
    high: float


def clues(motion: Motion, near: Neighbours | None = None, near_rate: Neighbours | None = None) -> Clues:
    """Look at a motion beside a reference's windows."""
    found = motion.windows
    has_rate = motion.has_gyroscope
    first = Shape.of(found[..., :3], is_accelerometer=True)
    second = Shape.of(found[..., 3:], is_accelerometer=False)
    highs = motion.highs
    return Clues(
        law=law(motion.blocks, motion.rate_hz) if has_rate and len(motion.blocks) else None,
        near=near.nearness(first) if near and len(found) else None,
        near_rate=near_rate.nearness(second) if near_rate and has_rate and len(found) else None,
        tempo=np.array([motion.faster(times).tempo for times in TIMES]),
        turning=turning(motion),
        high=float(np.median(highs)) if len(highs) else math.nan,
    )


def turning(motion: Motion) -> float:
    """Log of the median |angular rate| over the windows in which the device moves; NaN: none, or no gyroscope."""
    found = motion.windows
    moves = np.sqrt(found[..., :3].var(axis=1).sum(axis=1)) > _MOVES if len(found) else np.empty(0, bool)
    if not motion.has_gyroscope or moves.sum() < 2:
        return math.nan
    size = np.sqrt(np.square(found[moves][..., 3:]).sum(axis=2).mean(axis=1))
    return math.log(max(float(np.median(size)), 1e-9))


def law_at(motion: Motion, gain: float, way: int | None = 0) -> float:
    """Evidence of the law if the angular rate is multiplied by `gain`, in one way or in the best of all."""
    if not motion.has_gyroscope or not len(motion.blocks):
        return 0.0
    found = law(motion.blocks, motion.rate_hz, gain, only=way)
    return float(LAW * evidence(found, len(found), LAW_BLOCKS).max())
