"""Recordings as a device wrote them, and their stamps: rate, gaps, and how much must be interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.devices._signal import Motion

_NEAR = 0.6
"""Of an interval; as for the flag `interpolated` of the lake."""
_SHORTEST_S = 2.0
_MOST_POINTS = 2_000_000


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recording of a device.

    Attributes:
        times_us: int64 (n,), µs, in any order.
        accelerometer: float64 (n, 3), m/s² if `units` are right.
        gyroscope: float64 (n, 3), rad/s if `units` are right; None: there is none.
        units: the unit in which each sensor was read, such as {"accelerometer": "g", "gyroscope": "rad/s"}.
        where: the file, as messages name it.
        counted: whether stamps are sample numbers divided by a rate that somebody stated.
        placement, device: "" if unknown.
    """

    times_us: NDArray[np.int64]
    accelerometer: NDArray[np.float64]
    gyroscope: NDArray[np.float64] | None
    units: dict[str, str]
    where: str = ""
    counted: bool = False
    placement: str = ""
    device: str = ""


@dataclass(frozen=True)
class Timing:
    """What the stamps of a device's recordings say.

    Attributes:
        rate_hz: samples per second, gaps left out; 0: unknown.
        uneven: share of the samples at the project's rate without a measured one near, 0 to 1.
        gaps: pauses longer than the project allows.
        repeated: share of rows whose stamp another row has.
    """

    rate_hz: float
    uneven: float
    gaps: int
    repeated: float


def timing(recorded: Sequence[Recorded], rate_hz: float, max_gap_s: float) -> Timing:
    """Judge the stamps by the project's rate, and by the pause that starts a new segment."""
    rates, rows, unique, gaps, far, points = [], 0, 0, 0, 0, 0
    for one in recorded:
        stamps = np.unique(one.times_us)
        rows, unique = rows + len(one.times_us), unique + len(stamps)
        steps = np.diff(stamps)
        running = steps[steps <= max_gap_s * 1e6]
        gaps += len(steps) - len(running)
        if len(running):
            usual = running[np.abs(running - np.median(running)) <= np.median(running) / 4]
            rates.append(1e6 / (usual if len(usual) >= 0.5 * len(running) else running).mean())
        for piece in _runs(stamps, max_gap_s):
            grid = np.arange(piece[0], piece[-1], 1e6 / rate_hz)[:_MOST_POINTS]
            after = np.searchsorted(piece, grid).clip(1, len(piece) - 1)
            apart = np.minimum(np.abs(piece[after] - grid), np.abs(piece[after - 1] - grid))
            far, points = far + int((apart > _NEAR * 1e6 / rate_hz).sum()), points + len(grid)
    rate = float(np.median(rates)) if rates else 0.0
    return Timing(rate, far / max(1, points), gaps, 1 - unique / max(1, rows))


def motion(recorded: Sequence[Recorded], rate_hz: float, max_gap_s: float) -> Motion:
    """The values at the project's rate, interpolated linearly, in gap-free pieces of two seconds or more."""
    pieces = []
    has_gyroscope = all(one.gyroscope is not None for one in recorded)
    for one in recorded:
        stamps, first = np.unique(one.times_us, return_index=True)
        rate = np.zeros_like(one.accelerometer) if one.gyroscope is None else one.gyroscope
        values = np.hstack([one.accelerometer, rate])[first]
        finite = np.isfinite(values).all(axis=1)
        stamps, values = stamps[finite], values[finite]
        at = 0
        for piece in _runs(stamps, max_gap_s):
            grid = np.arange(piece[0], piece[-1] + 1, 1e6 / rate_hz)
            if len(grid) >= _SHORTEST_S * rate_hz:
                part = values[at : at + len(piece)]
                pieces.append(np.stack([np.interp(grid, piece, column) for column in part.T], axis=1))
            at += len(piece)
    return Motion(tuple(pieces), rate_hz, has_gyroscope)


def _runs(stamps: NDArray[np.int64], max_gap_s: float) -> list[NDArray[np.int64]]:
    cuts = np.flatnonzero(np.diff(stamps) > max_gap_s * 1e6) + 1
    return [piece for piece in np.split(stamps, cuts) if len(piece)]
