"""Whether windows hold a measured signal: a sensor that is off, stuck or at its limit says nothing about a movement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from har.plausibility._constants import AT_FULL_SCALE, REPEATS, STUCK_S, STUCK_SAMPLES

NO_SIGNAL = "no signal"
"""The answer for a window without a signal; no activity of har.toml can have this name, for names have no blanks."""

_BLOCK = 64
"""Rows or windows that are looked at in one go, which bounds the memory of copies."""
_MOVES = {"m/s^2": 5.0, "rad/s": 1.0}
"""By SI unit: the device moves if a channel varies by more than this within a window. Tilting it over is 9.8 m/s²."""


class SignalRule:
    """Decides from the samples of a window alone whether it holds a signal; safe to share between threads.

    A window has no signal if one of these holds for half of its samples or more, the share at which a fault outweighs
    what was measured (a window's label is decided by the majority of its samples, too):

    * every axis of the accelerometer repeats its value, or every axis of the gyroscope repeats one that is not zero
      (many devices write zero below a threshold);
    * one axis repeats its value while another one moves;
    * an axis is at its full scale or beyond. Fewer clipped samples are the peaks of a vigorous movement, in which a
      model still finds the activity.

    A value repeats if it stays the same for a second or longer, as for the flag `stuck` of the lake. A device that lies
    still has noise, and never repeats all three axes for that long.

    Args:
        units: SI unit per channel, C of them; channels in other units are not looked at.
        rate_hz: samples per second.
        length: samples per window, T.
        full_scales: the largest value of each channel, SI.
    """

    def __init__(self, *, units: Sequence[str], rate_hz: float, length: int, full_scales: Sequence[float]) -> None:
        self._sensors = {unit: _first_run(units, unit) for unit in REPEATS if unit in units}
        used = max((sensor.stop for sensor in self._sensors.values()), default=0)
        self._channels = slice(0, used)
        self._length = length
        self._run = min(length, max(STUCK_SAMPLES, round(STUCK_S * rate_hz)))
        self._tolerance = np.array([REPEATS.get(unit, -1.0) for unit in units[:used]], np.float32)
        self._moves = np.array([_MOVES.get(unit, np.inf) for unit in units[:used]], np.float32)
        self._limits = (np.array(full_scales[:used], np.float64) * AT_FULL_SCALE).astype(np.float32)
        # Two places of this grid at least lie within every run that is long enough.
        self._grid = max(1, self._run // 2)

    def absent(self, windows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which windows have no signal, bool (N,).

        Args:
            windows: float32 (N, T, C), finite, SI units.
        """
        absent = np.zeros(len(windows), np.bool_)
        if not self._sensors or not len(windows):
            return absent
        measured = windows[:, :, self._channels]
        grid = measured[:, :: self._grid]
        # Nearly all windows end here: they repeat nowhere on the grid, and reach no limit.
        alike = np.abs(grid[:, 1:] - grid[:, :-1]) <= self._grid * self._tolerance
        beyond = np.abs(measured) >= self._limits
        if not alike.any() and not beyond.any():
            return absent
        chosen = np.flatnonzero(alike.any(axis=(1, 2)) | beyond.any(axis=(1, 2)))
        at_limit = self._mostly(np.asarray(beyond[chosen].any(axis=2)))
        absent[chosen] = at_limit | self._silent(measured[chosen])
        return absent

    def absent_in(self, samples: NDArray[np.float32], starts: NDArray[np.integer]) -> NDArray[np.bool_]:
        """What `absent` says of windows that share samples, which are looked at once.

        Args:
            samples: float32 (n, C), C-contiguous, finite, SI units.
            starts: (N,), the first row of each window.
        """
        absent = np.zeros(len(starts), np.bool_)
        if not self._sensors or not len(starts):
            return absent
        doubtful = np.zeros(len(starts), np.bool_)
        if (_largest(samples)[self._channels] >= self._limits).any():
            beyond = np.asarray((np.abs(samples[:, self._channels]) >= self._limits).any(axis=1))
            doubtful |= 2 * _counted(beyond, starts, starts + self._length) >= self._length
        # Every run that is long enough repeats from one place of this grid to the next, up to rounding.
        grid = samples[:: self._grid, self._channels]
        alike = np.asarray((np.abs(grid[1:] - grid[:-1]) <= 1.001 * self._grid * self._tolerance).any(axis=1))
        doubtful |= _counted(alike, -(-starts // self._grid), (starts + self._length - 1) // self._grid) > 0
        rows = np.flatnonzero(doubtful)
        within = np.arange(self._length)
        for first in range(0, len(rows), _BLOCK):
            block = rows[first : first + _BLOCK]
            absent[block] = self.absent(samples[starts[block][:, None] + within])
        return absent

    def _silent(self, measured: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Windows (N, T, K) of which a sensor, or one axis of a moving device, repeats its value, bool (N,)."""
        count, length, channels = measured.shape
        repeats = np.abs(measured[:, 1:] - measured[:, :-1]) <= self._tolerance
        whole = []
        for unit, sensor in self._sensors.items():
            every = np.asarray(repeats[:, :, sensor].all(axis=2))
            if unit == "rad/s":
                zero = np.abs(measured[:, 1:, sensor]) <= self._tolerance[sensor]
                every &= ~np.asarray(zero.all(axis=2))
                repeats[:, :, sensor] &= ~zero
            whole.append(every)
        # Each axis, then each sensor as a whole.
        steps = np.concatenate([repeats, np.stack(whole, axis=2)], axis=2)
        silent = np.zeros(count, np.bool_)
        enough = 2 * (np.count_nonzero(steps, axis=1) + length // self._run + 1) >= length
        rows = np.flatnonzero(enough.any(axis=1))
        if not len(rows):
            return silent
        stuck = self._in_long_runs(steps[rows])
        mostly = self._mostly(stuck)
        silent[rows] = mostly[:, channels:].any(axis=1)
        for channel in range(channels):
            dead = np.flatnonzero(mostly[:, channel] & ~silent[rows])
            silent[rows[dead]] = self._moves_while(stuck[dead, :, channel, None], measured[rows[dead]])
        return silent

    def _moves_while(self, held: NDArray[np.bool_], measured: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether a device moves during these samples (N, T, 1) of windows (N, T, K), bool (N,)."""
        highest = np.where(held, measured, -np.inf).max(axis=1)
        lowest = np.where(held, measured, np.inf).min(axis=1)
        return np.asarray((highest - lowest > self._moves).any(axis=1), np.bool_)

    def _in_long_runs(self, repeats: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Samples in runs of repetitions that are long enough, bool (N, T, M), from steps (N, T - 1, M)."""
        count, steps, series = repeats.shape
        edge = np.ones((count, 1, series), np.bool_)
        places = np.arange(steps + 1, dtype=np.int32)[:, None]
        first = np.maximum.accumulate(np.where(np.concatenate([edge, ~repeats], axis=1), places, 0), axis=1)
        ends = np.where(np.concatenate([~repeats, edge], axis=1), places, steps)
        last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        long: NDArray[np.bool_] = last - first + 1 >= self._run
        return long

    def _mostly(self, samples: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether at least half of a window's samples are true, along the axis of time."""
        mostly: NDArray[np.bool_] = 2 * np.count_nonzero(samples, axis=1) >= self._length
        return mostly


def _largest(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest absolute value of each channel of samples (n, C), n ≥ 1, (C,)."""
    whole = len(samples) // _BLOCK * _BLOCK
    channels = samples.shape[1]
    parts = [np.abs(samples[whole:])]
    if whole:
        # Over long rows numpy takes a fifth of the time.
        parts.append(np.abs(samples[:whole].reshape(-1, _BLOCK * channels)).max(axis=0).reshape(_BLOCK, channels))
    found: NDArray[np.float32] = np.concatenate(parts).max(axis=0)
    return found


def _counted(flags: NDArray[np.bool_], first: NDArray[np.integer], end: NDArray[np.integer]) -> NDArray[np.integer]:
    """How many flags are set from each `first` to before its `end`, which may lie before it."""
    below = np.append(0, np.cumsum(flags))
    return np.asarray(below[np.maximum(first, end)] - below[first])


def _first_run(units: Sequence[str], unit: str) -> slice:
    """The channels of the sensor with this unit: sensors come before further channels, which may share the unit."""
    start = list(units).index(unit)
    stop = start
    while stop < len(units) and units[stop] == unit:
        stop += 1
    return slice(start, stop)
