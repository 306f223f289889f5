"""Resample segments whose stamps are not on a regular grid at the project's rate."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.recordings._cleaning import Samples, measured_rate_hz
from har.schema import FLAGS

_RATE_TOLERANCE = 0.01
_DECIMATION = 1.5
_TAPS_PER_RATE = 10
_POINTS = 1 << 18  # of the grid at once: those of a day would need ten times the memory of their values
JUDGED_US = 1_500_000
"""The first samples of a segment, up to this time, say whether it is regular, and how fast its source is."""
REACH = _TAPS_PER_RATE
"""A low-passed sample depends on the source up to so many intervals of the grid before and after it."""


def resample(samples: Samples, rate_hz: float) -> tuple[Samples, bool]:
    """All segments at `rate_hz`, and whether any was resampled.

    A segment whose first seconds are regular (see `is_regular`) is left unchanged as far as it is regular; from there,
    its last unchanged sample is the origin of the grid. Otherwise its first sample is. What comes later decides nothing
    about earlier samples, so that streams, which cannot wait for the end, get the same samples.
    """
    cuts = np.flatnonzero(np.diff(samples.segments)) + 1
    bounds = list(zip([0, *cuts], [*cuts, len(samples.times)], strict=True))
    regular = [regular_until(samples.times[start:end], rate_hz) for start, end in bounds]
    if all(until == end - start for until, (start, end) in zip(regular, bounds, strict=True)):
        return samples, False
    parts = []
    for until, (start, end) in zip(regular, bounds, strict=True):
        if until:
            parts.append(_slice(samples, start, start + until))
        if until < end - start:
            origin = start + max(until - 1, 0)
            source = _slice(samples, origin, end)
            factor = 1 if until else decimation(source.times[: judged(source.times)], rate_hz)
            grid = _resample_segment(source, rate_hz, factor)
            parts.append(_slice(grid, 1, len(grid.times)) if until else grid)
    joined = Samples(
        times=np.concatenate([part.times for part in parts]),
        values=np.concatenate([part.values for part in parts], axis=1),
        labels=np.concatenate([part.labels for part in parts]),
        flags=np.concatenate([part.flags for part in parts]),
        segments=np.concatenate([part.segments for part in parts]),
    )
    return joined, True


def is_regular(times: NDArray[np.int64], rate_hz: float) -> bool:
    """Whether stamps (n,) in µs follow `rate_hz` closely enough that the sample number gives the time.

    Each interval is within 50 % of the nominal one, and the duration within 1 %.
    """
    if len(times) < 2:
        return True
    interval = 1e6 / rate_hz
    close = np.abs(np.diff(times) - interval) <= interval / 2
    return bool(close.all() and follows(times[-1:], int(times[0]), len(times) - 1, rate_hz)[0])


def follows(times: NDArray[np.int64], origin: int, number: int, rate_hz: float) -> NDArray[np.bool_]:
    """Whether each stamp is where its number puts it, bool (n,): the duration since `origin` is within 1 %.

    Args:
        times: int64 (n,), µs; consecutive samples.
        origin: stamp of the segment's first sample.
        number: of the first of `times` within the segment, counted from 0.
        rate_hz: the project's rate.
    """
    interval = 1e6 / rate_hz
    span = (times - origin).astype(np.float64)
    deviation = np.abs(span - np.arange(number, number + len(times)) * interval)
    return np.asarray(deviation <= np.maximum(_RATE_TOLERANCE * span, interval / 2))


def judged(times: NDArray[np.int64]) -> int:
    """How many of a segment's stamps decide about it: those up to the first that is `JUDGED_US` after its start."""
    return min(int(np.searchsorted(times, times[0] + JUDGED_US)) + 1, len(times))


def regular_until(times: NDArray[np.int64], rate_hz: float) -> int:
    """How many of a segment's samples are left unchanged: all, some, or none."""
    first = judged(times)
    if not is_regular(times[:first], rate_hz):
        return 0
    interval = 1e6 / rate_hz
    close = np.abs(np.diff(times[first - 1 :]) - interval) <= interval / 2
    broken = np.flatnonzero(~(close & follows(times[first:], int(times[0]), first, rate_hz)))
    return first + int(broken[0]) if len(broken) else len(times)


def decimation(times: NDArray[np.int64], rate_hz: float) -> int:
    """How many points of the low-pass filter there are per interval of the grid; 1: the source is not that fast.

    Args:
        times: int64 (n,), the stamps that `judged` chose.
        rate_hz: the project's rate.
    """
    if len(times) < 2:
        return 1
    source_hz = max(measured_rate_hz(times, 3600.0), (len(times) - 1) / float(times[-1] - times[0]) * 1e6)
    return int(np.ceil(source_hz / rate_hz - 1e-3)) if source_hz > _DECIMATION * rate_hz else 1


def _slice(samples: Samples, start: int, end: int) -> Samples:
    return Samples(
        samples.times[start:end],
        samples.values[:, start:end],
        samples.labels[start:end],
        samples.flags[start:end],
        samples.segments[start:end],
    )


def _resample_segment(source: Samples, rate_hz: float, factor: int) -> Samples:
    """Interpolate linearly, low-pass filtered if `factor` is more than 1; take the nearest label."""
    origin = source.times[0]
    at = (source.times - origin).astype(np.float64)
    interval = 1e6 / rate_hz
    count = last_point(float(at[-1]), interval) + 1
    values = np.empty((len(source.values), count), np.float32)
    begin = 0
    while begin < count:
        end = begin + _POINTS if begin + 2 * _POINTS <= count else count
        first, last = np.searchsorted(at, [(begin - REACH) * interval, (end + REACH) * interval])
        near = slice(max(int(first) - 1, 0), int(last) + 1)
        for channel, series in enumerate(source.values):
            part = interpolate(at[near], series[near], interval, begin, end, factor, ends=end == count)
            values[channel, begin:end] = part
        begin = end

    grid = np.arange(count, dtype=np.float64) * np.float64(interval)
    nearest, flags = grid_flags(at, source.flags, grid, interval)
    return Samples(
        times=origin + np.round(grid).astype(np.int64),
        values=values,
        labels=source.labels[nearest],
        flags=flags,
        segments=np.full(count, source.segments[0], np.int32),
    )


def last_point(last: float, interval: float) -> int:
    """Number of the last grid point of a segment whose last stamp is `last` µs after the grid's origin."""
    # Rounding may put the last stamp just before its grid point.
    return int(np.floor(last / interval + 1e-3))


def interpolate(
    at: NDArray[np.float64],
    series: NDArray[np.float32],
    interval: float,
    first: int,
    end: int,
    factor: int,
    *,
    ends: bool,
) -> NDArray[np.float64]:
    """One channel, or all, at the grid points `first` to before `end`, `interval` apart, float64 (…, end - first).

    Each point depends on the samples within `REACH` intervals only (on its two neighbours, if `factor` is 1), so that
    parts of a segment are the same as parts of the whole.

    Args:
        at: float64 (n,), stamps in µs after the grid's origin; all that the points depend on.
        series: (…, n), the values.
        interval: of the grid, in µs.
        first: number of the first point.
        end: number after the last point.
        factor: low-pass filtered below the grid's Nyquist rate if it is more than 1.
        ends: whether the segment ends with the last point.
    """
    if factor == 1:
        return _interp(np.arange(first, end, dtype=np.float64) * np.float64(interval), at, series)
    half = REACH * factor
    low = max(first * factor - half, 0)
    high = (end - 1) * factor + (0 if ends else half)
    fine = _interp(np.arange(low, high + 1, dtype=np.float64) * np.float64(interval / factor), at, series)
    before, after = max(half - first * factor, 0), half if ends else 0
    padded = lowest = highest = fine
    if before or after:
        edges = [*[(0, 0)] * (fine.ndim - 1), (before, after)]
        mode: dict[str, Any] = {"mode": "reflect", "reflect_type": "odd"} if fine.shape[-1] > 1 else {"mode": "edge"}
        padded = np.pad(fine, edges, **mode)
        lowest = np.pad(fine, edges, constant_values=np.inf)
        highest = np.pad(fine, edges, constant_values=-np.inf)
    smooth = _convolve(padded, _taps(factor))[..., ::factor]
    # Ringing beside a step must not exceed the measured range around it.
    lowest = _sliding(np.minimum, lowest, 2 * REACH, factor)
    highest = _sliding(np.maximum, highest, 2 * REACH, factor)
    return np.minimum(np.maximum(smooth, lowest, out=lowest), highest, out=highest)


def _interp(points: NDArray[np.float64], at: NDArray[np.float64], series: NDArray[np.float32]) -> NDArray[np.float64]:
    if series.ndim == 1:
        return np.asarray(np.interp(points, at, series), np.float64)
    return np.stack([np.interp(points, at, one) for one in series])


def _convolve(series: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    if series.ndim == 1:
        return np.convolve(series, taps, mode="valid")
    return np.stack([np.convolve(one, taps, mode="valid") for one in series])


@cache
def _taps(factor: int) -> NDArray[np.float64]:
    """Hamming-windowed sinc, half amplitude at 0.9 of the grid's Nyquist rate.

    A plain average would damp 10 Hz by 7 %.
    """
    half = REACH * factor
    offsets = np.arange(-half, half + 1)
    taps: NDArray[np.float64] = np.sinc(0.9 * offsets / factor) * np.hamming(2 * half + 1)
    return np.asarray(taps / taps.sum(), np.float64)


def _sliding(extreme: np.ufunc, series: NDArray[np.float64], blocks: int, size: int) -> NDArray[np.float64]:
    """The minimum or maximum of so many blocks of `size` values and the value after, from each block, on the last axis.

    First of each block, then of consecutive blocks, in steps that double.
    """
    after = series[..., blocks * size :: size]
    whole = series.shape[-1] // size
    found = series[..., 0 : whole * size : size]
    for place in range(1, size):
        found = extreme(found, series[..., place : whole * size : size])
    done = 1
    while done < blocks:
        step = min(done, blocks - done)
        found = extreme(found[..., :-step], found[..., step:])
        done += step
    return np.asarray(extreme(found[..., : after.shape[-1]], after), np.float64)


def grid_flags(
    at: NDArray[np.float64], flags: NDArray[np.int8], grid: NDArray[np.float64], interval: float
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """The number of the sample nearest to each grid point, (m,), and the point's flags, int8 (m,)."""
    if len(at) < 2:
        return np.zeros(len(grid), np.int64), np.repeat(flags, len(grid))
    right = np.clip(np.searchsorted(at, grid), 1, len(at) - 1)
    left = right - 1
    nearest = np.where(grid - at[left] <= at[right] - grid, left, right)
    spread = _spread(flags, at, grid, interval / 2, left, right)
    spread[np.abs(at[nearest] - grid) > 0.6 * interval] |= FLAGS["interpolated"]
    return nearest, spread


def _spread(
    flags: NDArray[np.int8],
    at: NDArray[np.float64],
    grid: NDArray[np.float64],
    reach: float,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> NDArray[np.int8]:
    """Flags of the source samples that contribute to each grid point: its two neighbours and all within `reach`."""
    spread = np.zeros(len(grid), np.int8)
    if not flags.any():
        return spread
    # A grid point at the stamp of a sample is made of that sample alone.
    start = np.minimum(np.searchsorted(at, grid - reach), np.where(at[right] == grid, right, left))
    end = np.maximum(np.searchsorted(at, grid + reach, side="right"), np.where(at[left] == grid, left, right) + 1)
    for bit in (FLAGS["saturated"], FLAGS["stuck"]):
        total = np.concatenate([[0], np.cumsum((flags & bit) > 0)])
        spread[total[end] > total[start]] |= bit
    return spread
