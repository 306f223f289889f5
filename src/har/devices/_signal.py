"""What was recorded, as the check takes it: gap-free pieces of acceleration and angular rate at one rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from har.devices._axes import blocks
from har.devices._shape import windows

LEAST_S = 10.0
"""Seconds; of less, nothing is said."""
_MOST_WINDOWS = 120
_MOST_BLOCKS = 100
_MID_HZ, _HIGH_HZ = (1.0, 4.0), (10.0, 22.5)
_TEMPO_HZ = (0.4, 9.0)
_HIGH_SHARES = (0.2, 0.45)
"""Of the rate, where it is too low for these."""
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Motion:
    """What a device measured.

    Attributes:
        pieces: float64 (n, 6) each, without a gap: acceleration in m/s² and angular rate in rad/s, as declared; without
            a gyroscope the last three columns are zero.
        rate_hz: samples per second of all pieces.
        has_gyroscope: whether it measured the angular rate.
    """

    pieces: tuple[NDArray[np.float64], ...]
    rate_hz: float
    has_gyroscope: bool = True

    @property
    def seconds(self) -> float:
        """Duration, gaps left out."""
        return sum(map(len, self.pieces)) / self.rate_hz

    @cached_property
    def windows(self) -> NDArray[np.float64]:
        """Windows of two seconds, float64 (N, T, 6), spread over a long recording."""
        return _spread([windows(piece, self.rate_hz) for piece in self.pieces], _MOST_WINDOWS)

    @cached_property
    def blocks(self) -> NDArray[np.float64]:
        """Blocks of four seconds, float64 (B, steps, 6), for `law`."""
        return _spread([blocks(piece, self.rate_hz) for piece in self.pieces], _MOST_BLOCKS)

    def scaled(self, acceleration: float = 1.0, rate: float = 1.0) -> Motion:
        """With the values of both sensors multiplied."""
        factors = np.array([acceleration] * 3 + [rate] * 3)
        return Motion(tuple(piece * factors for piece in self.pieces), self.rate_hz, self.has_gyroscope)

    def faster(self, times: float) -> Motion:
        """The same samples at another rate: what the device measured if it states a rate that is wrong."""
        return Motion(self.pieces, self.rate_hz * times, self.has_gyroscope)

    def part(self, first_s: float, seconds: float) -> Motion:
        """What was measured in this time, gaps left out."""
        first, count, kept = round(first_s * self.rate_hz), round(seconds * self.rate_hz), []
        for piece in self.pieces:
            kept.append(piece[max(0, first) : max(0, first + count)])
            first -= len(piece)
        return Motion(tuple(one for one in kept if len(one)), self.rate_hz, self.has_gyroscope)

    @cached_property
    def highs(self) -> NDArray[np.float64]:
        """Per window: power of the acceleration above 10 Hz beside that between 1 and 4 Hz, decades, float64 (N,).

        Empty where the rate is too low to have such frequencies.
        """
        frequencies, power = self._power
        low, top = (min(limit, share * self.rate_hz) for limit, share in zip(_HIGH_HZ, _HIGH_SHARES, strict=True))
        high = (frequencies >= low) & (frequencies <= top)
        if high.sum() < 2 or not len(power):
            return np.empty(0)
        middle = (frequencies >= _MID_HZ[0]) & (frequencies <= _MID_HZ[1])
        ratio = (power[:, high].mean(axis=1) + _TINY) / (power[:, middle].mean(axis=1) + _TINY)
        decades: NDArray[np.float64] = np.log10(ratio)
        return decades

    @cached_property
    def tempo(self) -> float:
        """The mean of log frequency (Hz), 0.4 to 9 Hz, weighted by the acceleration's power, over moving windows."""
        frequencies, power = self._power
        band = (frequencies >= _TEMPO_HZ[0]) & (frequencies <= _TEMPO_HZ[1])
        moving = power[:, band].sum(axis=1) if len(power) else np.empty(0)
        if not moving.size or moving.max() <= 0:
            return float("nan")
        chosen = power[moving >= np.median(moving)][:, band]
        return float((chosen * np.log(frequencies[band])).sum() / chosen.sum())

    @cached_property
    def _power(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        found = self.windows[..., :3]
        taper = np.hanning(found.shape[1])[:, None]
        spectrum = np.fft.rfft((found - found.mean(axis=1, keepdims=True)) * taper, axis=1)
        power: NDArray[np.float64] = np.square(np.abs(spectrum)).sum(axis=2)
        frequencies = np.asarray(np.fft.rfftfreq(found.shape[1], 1 / self.rate_hz), np.float64)
        return frequencies, power


def _spread(found: Sequence[NDArray[np.float64]], most: int) -> NDArray[np.float64]:
    if not found:
        return np.empty((0, 4, 6))
    every = np.concatenate(found)
    return every if len(every) <= most else every[np.linspace(0, len(every) - 1, most).astype(np.intp)]
