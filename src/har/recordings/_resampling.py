"""Resample segments whose stamps are not on a regular grid at the project's rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.recordings._cleaning import Samples
from har.schema import FLAGS

_RATE_TOLERANCE = 0.01
_DECIMATION = 1.5
_TAPS_PER_RATE = 10


def resample(samples: Samples, rate_hz: float, measured_hz: float) -> tuple[Samples, bool]:
    """All segments at `rate_hz`, and whether any was resampled.

    A segment is left unchanged if its stamps are regular: each interval within 50 % of the nominal one, and the
    duration within 1 %.
    """
    cuts = np.flatnonzero(np.diff(samples.segments)) + 1
    bounds = list(zip([0, *cuts], [*cuts, len(samples.times)], strict=True))
    regular = [is_regular(samples.times[start:end], rate_hz) for start, end in bounds]
    if all(regular):
        return samples, False
    parts = [
        _slice(samples, start, end)
        if unchanged
        else _resample_segment(_slice(samples, start, end), rate_hz, measured_hz)
        for (start, end), unchanged in zip(bounds, regular, strict=True)
    ]
    joined = Samples(
        times=np.concatenate([part.times for part in parts]),
        values=np.concatenate([part.values for part in parts], axis=1),
        labels=np.concatenate([part.labels for part in parts]),
        flags=np.concatenate([part.flags for part in parts]),
        segments=np.concatenate([part.segments for part in parts]),
    )
    return joined, True


def is_regular(times: NDArray[np.int64], rate_hz: float) -> bool:
    """Whether stamps (n,) in µs follow `rate_hz` closely enough that the sample number gives the time."""
    interval = 1e6 / rate_hz
    intervals = np.diff(times)
    if not len(intervals):
        return True
    span = float(times[-1] - times[0])
    deviation = abs(span - len(intervals) * interval)
    return bool(
        (np.abs(intervals - interval) <= interval / 2).all() and deviation <= max(_RATE_TOLERANCE * span, interval / 2)
    )


def _slice(samples: Samples, start: int, end: int) -> Samples:
    return Samples(
        samples.times[start:end],
        samples.values[:, start:end],
        samples.labels[start:end],
        samples.flags[start:end],
        samples.segments[start:end],
    )


def _resample_segment(source: Samples, rate_hz: float, measured_hz: float) -> Samples:
    """Interpolate linearly, low-pass filtered if the source is faster than 1.5 × `rate_hz`; take the nearest label."""
    origin = source.times[0]
    at = (source.times - origin).astype(np.float64)
    interval = 1e6 / rate_hz
    # Rounding may put the last stamp just before its grid point.
    count = int(np.floor(at[-1] / interval + 1e-3)) + 1
    grid = np.arange(count, dtype=np.float64) * np.float64(interval)
    source_hz = max(measured_hz, (len(at) - 1) / at[-1] * 1e6)
    factor = int(np.ceil(source_hz / rate_hz - 1e-3)) if source_hz > _DECIMATION * rate_hz else 1
    values = np.empty((len(source.values), count), np.float32)
    for channel, series in enumerate(source.values):
        values[channel] = _interpolate(at, series, interval, count, factor)

    right = np.clip(np.searchsorted(at, grid), 1, len(at) - 1)
    left = right - 1
    nearest = np.where(grid - at[left] <= at[right] - grid, left, right)
    flags = _spread(source.flags, at, grid, interval / 2, left, right)
    flags[np.abs(at[nearest] - grid) > 0.6 * interval] |= FLAGS["interpolated"]
    return Samples(
        times=origin + np.round(grid).astype(np.int64),
        values=values,
        labels=source.labels[nearest],
        flags=flags,
        segments=np.full(count, source.segments[0], np.int32),
    )


def _interpolate(
    at: NDArray[np.float64], series: NDArray[np.float32], interval: float, count: int, factor: int
) -> NDArray[np.float64]:
    """One channel on the grid `arange(count) * interval`; low-pass filtered below its Nyquist rate if `factor` > 1."""
    if factor == 1:
        return np.asarray(np.interp(np.arange(count) * interval, at, series), np.float64)
    fine = np.interp(np.arange((count - 1) * factor + 1) * (interval / factor), at, series)
    # Hamming-windowed sinc, half amplitude at 0.9 of the grid's Nyquist rate; a plain average would damp 10 Hz by 7 %.
    half = _TAPS_PER_RATE * factor
    offsets = np.arange(-half, half + 1)
    taps = np.sinc(0.9 * offsets / factor) * np.hamming(2 * half + 1)
    padded = (
        np.pad(fine, half, mode="reflect", reflect_type="odd") if len(fine) > 1 else np.pad(fine, half, mode="edge")
    )
    smooth = np.convolve(padded, taps / taps.sum(), mode="valid")[::factor]
    # Ringing beside a step must not exceed the measured range.
    clipped: NDArray[np.float64] = np.clip(smooth, series.min(), series.max())
    return clipped


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
