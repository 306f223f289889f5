"""Checks of a recording as published, before it is converted and cleaned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, RecordingTimeError
from har.recordings._foreign import refuse_foreign
from har.recordings.layouts import RawRecording

_BLOCK_US = 2_000_000
_RATES_APART = 2.0
_CLIPPED_RUNS = 3


def refuse_non_recording(path: Path) -> None:
    """Raise for an empty file, a Git-LFS pointer or an AppleDouble file; folders pass."""
    if path.is_dir():
        return
    with path.open("rb") as file:
        head = file.read(64)
    if not head.strip():
        raise EmptyRecordingError.no_bytes(str(path))
    refuse_foreign(head, str(path))


def refuse_mixed_rates(raw: RawRecording, max_gap_s: float) -> None:
    """Refuse a recording with two sampling rates that differ by more than a factor of two.

    Rates are measured in blocks of two seconds; pauses longer than `max_gap_s` and repeated stamps do not count.
    """
    times = np.unique(raw.times_us)
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
