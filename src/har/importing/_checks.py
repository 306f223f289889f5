"""Faults that show in a recording as it was found, before anything is converted or dropped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, NotARecordingError, RecordingTimeError
from har.recordings.layouts import RawRecording

_BLOCK_US = 2_000_000
_RATES_APART = 2.0
_CLIPPED_RUNS = 3


def refuse_foreign(path: Path) -> None:
    """Raise for an empty file, a Git-LFS pointer or an AppleDouble file; folders pass."""
    if path.is_dir():
        return
    with path.open("rb") as file:
        head = file.read(64)
    if not head.strip():
        raise EmptyRecordingError(
            where=str(path), expected="a recording", got="an empty file", remedy="Export or download it again."
        )
    if head.startswith(b"version https://git-lfs"):
        raise NotARecordingError(
            where=str(path),
            expected="a recording",
            got="a Git-LFS pointer to one",
            remedy="Run `git lfs pull` in the repository it comes from, then import again.",
            line=1,
        )
    if head.startswith(b"\x00\x05\x16\x07"):
        raise NotARecordingError(
            where=str(path),
            expected="a recording",
            got="an AppleDouble file, which macOS leaves beside a copied one",
            remedy="Delete it; the recording is the file beside it.",
        )


def refuse_mixed_rates(found: RawRecording, max_gap_s: float) -> None:
    """Raise where one recording holds samples at rates a factor of two apart: either half would be made up.

    Rates are those of blocks of two seconds; pauses longer than `max_gap_s` and repeated stamps do not count.
    """
    times = np.unique(found.times_us)
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
            where=found.where,
            expected="samples at one rate",
            got=f"about {low:.3g} Hz for {near_low:.0%} of the time and {high:.3g} Hz for the rest",
            remedy="Cut the file where the rate changes, and import the parts that fit the project's rate.",
        )


def clipped(found: RawRecording) -> Counter[str]:
    """Accelerometer samples that lie flat at the recording's own largest value, per reading, such as "±2 g".

    Flat means that the extreme of a channel is held for two samples or more, three times or more, beyond 1.5 g.
    """
    faults: Counter[str] = Counter()
    signal = found.accelerometer
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
    """How many runs of two or more there are."""
    second = at[1:] & at[:-1]
    return int(second[:1].sum() + (second[1:] & ~second[:-1]).sum())


def repeated(found: RawRecording) -> int:
    """Samples whose channels all read as in the sample before, under a stamp of their own."""
    signals = [one.values for one in (found.accelerometer, found.gyroscope) if one is not None]
    if not signals or len(found.times_us) < 2:
        return 0
    same = np.diff(found.times_us) != 0
    for values in signals:
        same &= (values[1:] == values[:-1]).all(axis=1)
    return int(same.sum())
