"""Find gaps, measure the rate and flag faults; no sample is added, dropped or moved in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.plausibility import REPEATS, STUCK_S, STUCK_SAMPLES
from har.schema import FLAGS
from har.settings import Sensors


@dataclass(frozen=True)
class Samples:
    """Samples in time order.

    Attributes:
        times: int64 (n,), µs since 1970, UTC, strictly increasing.
        values: float32 (C, n), m/s² or rad/s.
        labels: int16 (n,), -1 where unlabelled.
        flags: int8 (n,), bits of `FLAGS`.
        segments: int32 (n,), number of the gap-free run.
    """

    times: NDArray[np.int64]
    values: NDArray[np.float32]
    labels: NDArray[np.int16]
    flags: NDArray[np.int8]
    segments: NDArray[np.int32]


def split_gaps(times: NDArray[np.int64], max_gap_s: float) -> NDArray[np.int32]:
    """Number of each sample's segment, int32 (n,); a pause longer than `max_gap_s` starts a new one."""
    breaks = np.diff(times) > round(max_gap_s * 1e6)
    return np.concatenate([[0], np.cumsum(breaks)]).astype(np.int32)


def measured_rate_hz(times: NDArray[np.int64], max_gap_s: float) -> float:
    """Samples per second, gaps excluded; 0 for a single sample.

    If at least 80 % of the intervals are within 25 % of their median, the rate is computed from the mean of those: lost
    samples do not count, and the median itself is rounded to the resolution of the stamps. If stamps jitter more, it is
    computed from the mean of all intervals except gaps.
    """
    intervals = np.diff(times)
    median = np.median(intervals) if len(intervals) else 0
    usual = np.abs(intervals - median) <= median / 4
    if not usual.size:
        return 0.0
    if usual.mean() < 0.8:
        usual = intervals <= max(round(max_gap_s * 1e6), median)
    return float(1e6 / intervals[usual].mean())


def coverage(times: NDArray[np.int64], rate_hz: float) -> float:
    """Number of samples relative to the number expected from first to last stamp at `rate_hz`, 0..1."""
    if len(times) < 2:
        return 1.0
    expected = 1 + (times[-1] - times[0]) / 1e6 * rate_hz
    return round(min(1.0, float(len(times) / expected)), 6)


def fault_flags(
    times: NDArray[np.int64],
    values: NDArray[np.float32],
    segments: NDArray[np.int32],
    sensors: Sensors,
    rate_hz: float,
) -> NDArray[np.int8]:
    """Flags of saturated and stuck samples, int8 (n,), bits of `FLAGS`.

    A gyroscope channel at exactly zero does not count as stuck: many devices write zero below a threshold.
    """
    flags = np.zeros(len(times), np.int8)
    joined = np.diff(segments) == 0
    channel = 0
    for sensor in sensors.all:
        # Rounding to float32 must not put a reading at full scale below the limit.
        limit = sensor.full_scale * sensor.to_si * (1 - 1e-6)
        for _ in sensor.channels:
            series = values[channel]
            saturated = np.abs(series) >= limit
            if saturated.any():
                flags[saturated] |= FLAGS["saturated"]
            within = REPEATS[sensor.si_unit]
            first, last = runs(joined & ~(np.abs(np.diff(series)) > within))
            interval = 1e6 / rate_hz if rate_hz else 0.0
            stuck = (times[last] - times[first] + interval >= 1e6 * STUCK_S) & (last - first + 1 >= STUCK_SAMPLES)
            if sensor is sensors.gyroscope:
                stuck &= np.abs(series[first]) > within
            if stuck.any():
                flags[_inside(first[stuck], last[stuck], len(series))] |= FLAGS["stuck"]
            channel += 1
    return flags


def runs(repeats: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the last sample of each run, given which of n samples (n - 1,) repeat the one before.

    Runs of two samples and more; most signals have few.
    """
    again = np.flatnonzero(repeats)
    begins = np.flatnonzero(np.diff(again, prepend=-2) > 1)
    ends = np.append(begins[1:] - 1, len(again) - 1)[: len(begins)]
    return again[begins], again[ends] + 1


def _inside(first: NDArray[np.intp], last: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    """Samples within any of these runs, which do not overlap, bool (count,)."""
    steps = np.zeros(count + 1, np.int8)
    steps[first] += 1
    steps[last + 1] -= 1
    return np.cumsum(steps[:-1]) > 0
