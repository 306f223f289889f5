"""The source of a segment that is resampled: samples in, points of the project's grid out as soon as they are final."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.recordings import REACH, interpolate, last_point


class Grid:
    """Points `origin + number * interval`, made of the source's samples as `har.recordings` makes them of a file's.

    Attributes:
        origin: time of the first point, µs.
        factor: of the low-pass filter; 1: linear interpolation only.
        next: number of the next point.
        times: int64 (n,), the source's samples that are still needed.
        values: float32 (n, C).
    """

    __slots__ = ("factor", "interval", "next", "origin", "times", "values")

    def __init__(self, origin: int, interval: float, factor: int, first: int, channels: int) -> None:
        self.origin = origin
        self.interval = interval
        self.factor = factor
        self.next = first
        self.times = np.empty(0, np.int64)
        self.values = np.empty((0, channels), np.float32)

    @property
    def reach_us(self) -> float:
        """How far before a point the source matters."""
        return REACH * self.interval if self.factor > 1 else 0.0

    def push(self, times: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Add samples, later than all before."""
        self.times = np.concatenate([self.times, times])
        self.values = np.concatenate([self.values, values])

    def take(self, *, ends: bool = False) -> tuple[int, NDArray[np.float32]]:
        """The number of the first new point, and the new points, float32 (m, C); `ends`: no more samples come."""
        first = self.next
        if not len(self.times):
            return first, self.values[:0]
        at = (self.times - self.origin).astype(np.float64)
        last = last_point(float(at[-1]), self.interval)
        if not ends:
            while last * self.interval > at[-1]:
                last -= 1
            last -= REACH if self.factor > 1 else 0
        if last < first:
            return first, self.values[:0]
        self.next = last + 1
        series = np.ascontiguousarray(self.values.T)
        points = interpolate(at, series, self.interval, first, self.next, self.factor, ends=ends)
        return first, np.ascontiguousarray(points.T, np.float32)

    def forget(self, time_us: float) -> None:
        """Drop samples that neither points from `next` on nor anything after this time depends on."""
        needed = min(time_us, self.origin + self.next * self.interval - self.reach_us)
        first = int(np.searchsorted(self.times, needed, side="right")) - 1
        if first > 0:
            # Copies, so that what is dropped is freed.
            self.times, self.values = self.times[first:].copy(), self.values[first:].copy()
