"""Checks of a recording as published, before it is converted and cleaned."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from har.errors import RecordingTimeError
from har.recordings import Quality
from har.recordings.layouts import RawRecording
from har.recordings.layouts._plausible import distinct, wrong_date, wrong_rate

MOST_LOST = 0.05
"""Share of the samples that may be dropped for a stamp that another one has."""

_BLOCK_US = 2_000_000
_RATES_APART = 2.0
_CLIPPED_RUNS = 3


def refuse_implausible(raw: RawRecording, max_gap_s: float) -> None:
    """Refuse a recording whose rate or dates no sensor has, as a wrong unit of its stamps gives them."""
    fault = wrong_rate(raw.times_us, 1 / max_gap_s) or (wrong_date(raw.times_us) if raw.clock == "utc" else "")
    if fault:
        raise RecordingTimeError(
            where=raw.where,
            expected=f"{1 / max_gap_s:g} to 5,000 samples per second, of a date from 2000 to today",
            got=fault,
            remedy="Check that the file has this layout: its stamps may be of another unit, or the device's clock was "
            "not set.",
        )


def refuse_loss(where: str, quality: Quality) -> None:
    """Refuse a recording of which `har ingest` would drop many samples, because others have the same stamps."""
    lost = quality.duplicate_stamps / max(1, quality.samples_read)
    if lost > MOST_LOST:
        raise RecordingTimeError(
            where=where,
            expected=f"stamps that differ: at most {MOST_LOST:.0%} of the samples may share one with another",
            got=f"{quality.duplicate_stamps:,} of {quality.samples_read:,} samples that would be lost",
            remedy="Export stamps with milliseconds. If the file has several devices, name the column that tells them "
            "apart: -o device=COLUMN.",
        )


def refuse_mixed_rates(raw: RawRecording, max_gap_s: float) -> None:
    """Refuse a recording with two sampling rates that differ by more than a factor of two.

    Rates are measured in blocks of two seconds; pauses longer than `max_gap_s` and repeated stamps do not count.
    """
    times = distinct(raw.times_us)
    intervals = np.diff(times)
    running = intervals <= round(max_gap_s * 1e6)
    block = ((times[:-1] - times[0]) // _BLOCK_US)[running] if len(times) > 1 else np.empty(0, np.int64)
    lengths = np.bincount(block, intervals[running]) if len(block) else np.empty(0)
    counts = np.bincount(block) if len(block) else np.empty(0)
    full = lengths >= _BLOCK_US / 2
    if full.sum() < 5:
        return
    rates = counts[full] / lengths[full] * 1e6
    low, high = np.quantile(rates, [0.05, 0.95])
    if high > _RATES_APART * low:
        near_low = float((rates < np.sqrt(low * high)).mean())
        raise RecordingTimeError(
            where=raw.where,
            expected="samples at one rate",
            got=f"about {low:.3g} Hz for {near_low:.0%} of the time and {high:.3g} Hz for the rest",
            remedy="Split the file where the rate changes, and import the parts at the project's rate.",
        )


def clipped(raw: RawRecording) -> Counter[str]:
    """Number of accelerometer samples that are clipped at the recording's extreme values, by value.

    A channel is clipped if it stays at its extreme, beyond 1.5 g, for two samples or more, three times or more.
    """
    faults: Counter[str] = Counter()
    signal = raw.accelerometer
    if signal is None or not len(signal.values):
        return faults
    g = {"g": 1.0, "mg": 1000.0, "m/s^2": 9.80665}[signal.unit]
    for channel in signal.values.T:
        for sign in (1, -1):
            extreme = (sign * channel).max()
            if extreme < 1.5 * g:
                continue
            at = sign * channel == extreme
            if _long_runs(at) >= _CLIPPED_RUNS:
                name = f"samples clipped at {sign * extreme:.4g} {signal.unit}; see sensors.accelerometer.full_scale"
                faults[name] += int(at.sum())
    return faults


def _long_runs(at: NDArray[np.bool_]) -> int:
    """Number of runs of two samples or more."""
    second = at[1:] & at[:-1]
    return int(second[:1].sum() + (second[1:] & ~second[:-1]).sum())


def repeated(raw: RawRecording) -> int:
    """Number of samples that repeat all values of the previous sample at another stamp."""
    signals = [one.values for one in (raw.accelerometer, raw.gyroscope) if one is not None]
    if not signals or len(raw.times_us) < 2:
        return 0
    same = np.diff(raw.times_us) != 0
    for values in signals:
        same &= (values[1:] == values[:-1]).all(axis=1)
    return int(same.sum())
