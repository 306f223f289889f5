"""What a recording says about its sensor: where it paused, slept or was not worn, and how far it is off 1 g at rest.

In: cleaned samples in SI units. Out: figures for the file's quality. No sample is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.plausibility import GRAVITY, REPEATS, Calibration, Epochs, calibration, nonwear
from har.recordings._cleaning import Samples, runs
from har.recordings._stamps import iso
from har.schema import FLAGS
from har.settings import Settings

GAPS_KEPT = 20
"""Pauses that are named, the longest; all can be read from the lake."""
IDLE_S = 10.0
"""Seconds for which all axes of the accelerometer repeat their values, from which the sensor sleeps."""

Interval = tuple[int, int]
"""Start and end, µs since 1970, UTC."""


@dataclass(frozen=True)
class Wear:
    """What a recording says about its sensor.

    Attributes:
        idle: where the sensor slept: the accelerometer repeats its last values or zeros for `IDLE_S` or longer.
        not_worn: see `har.plausibility.nonwear`; None: the recording is shorter than an hour.
        calibration: see `har.plausibility.calibration`; None: the sensor never rests for long enough.
    """

    idle: tuple[Interval, ...]
    not_worn: tuple[Interval, ...] | None
    calibration: Calibration | None

    @property
    def idle_s(self) -> float:
        """Seconds asleep."""
        return total_s(self.idle)

    @property
    def nonwear_s(self) -> float | None:
        """Seconds not worn."""
        return None if self.not_worn is None else total_s(self.not_worn)


def wear_of(samples: Samples, settings: Settings) -> Wear | None:
    """What the accelerometer's samples say; None without an accelerometer of three axes."""
    sensor = settings.sensors.accelerometer
    if sensor is None or len(sensor.channels) != 3 or not len(samples.times):
        return None
    first = settings.sensors.channels.index(sensor.channels[0])
    axes = samples.values[first : first + 3]
    epochs = Epochs.of(samples.times, list(axes), 1 / GRAVITY)
    long_enough = samples.times[-1] - samples.times[0] >= 3_600_000_000 - 10_000_000
    not_worn = tuple(nonwear(epochs)) if long_enough else None
    return Wear(_idle(samples, axes), not_worn, calibration(epochs))


def wear_figures(worn: Wear | None, applied: Calibration | None) -> dict[str, Any]:
    """The figures of `Quality` that come from the accelerometer, and the calibration that was applied before."""
    figures: dict[str, Any] = {"calibration": applied or (worn and worn.calibration), "calibrated": applied is not None}
    if worn is not None:
        figures |= {"idle_s": worn.idle_s, "nonwear_s": worn.nonwear_s, "nonwear": worn.not_worn or ()}
    return figures


def wear_notes(worn: Wear | None, said: str, applied: Calibration | None) -> Iterator[str]:
    """Sentences about a file: that its sensor slept, and that `said`, its own word on calibration, cannot be read."""
    if worn is not None and worn.idle:
        times = f"{len(worn.idle)} times" if len(worn.idle) > 1 else "once"
        yield (
            f"the sensor slept {times}, {worn.idle_s:,.0f} s in all, from {iso(worn.idle[0][0])}: its last values, or "
            "zeros, are repeated and flagged as stuck"
        )
    if said and applied is None:
        yield "what the file says about its calibration cannot be read: it counts as not calibrated"


def gaps_of(times: NDArray[np.int64], segments: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where a recording pauses: the last sample before and the first after, µs, int64 (g, 2), in order.

    Args:
        times: int64 (n,), increasing.
        segments: int32 (n,), number of the gap-free run.
    """
    last = np.flatnonzero(np.diff(segments))
    return np.stack([times[last], times[last + 1]], axis=1)


def longest(gaps: NDArray[np.int64], count: int) -> tuple[Interval, ...]:
    """The longest of some pauses (g, 2), in order."""
    if len(gaps) > count:
        gaps = gaps[np.sort(np.argpartition(gaps[:, 0] - gaps[:, 1], count)[:count])]
    return tuple((start, end) for start, end in gaps.tolist())


def total_s(intervals: tuple[Interval, ...]) -> float:
    """Their length in seconds."""
    return sum(end - start for start, end in intervals) / 1e6


def calibration_text(found: Calibration) -> str:
    """A calibration as the metadata of a Parquet file say it (`CALIBRATED`)."""
    return json.dumps(asdict(found))


def from_text(text: str) -> Calibration | None:
    """The calibration that `calibration_text` wrote; None if it cannot be read."""
    try:
        given = json.loads(text)
        numbers = [float(number) for name in ("gain", "offset_mg") for number in given[name]]
        (gx, gy, gz), (ox, oy, oz) = numbers[:3], numbers[3:]
        errors = float(given["error_mg"]), float(given["after_mg"])
        return Calibration(*errors, (gx, gy, gz), (ox, oy, oz), int(given["epochs"]))
    except (ValueError, TypeError, KeyError):
        return None


def _idle(samples: Samples, axes: NDArray[np.float32]) -> tuple[Interval, ...]:
    if not ((samples.flags & FLAGS["stuck"]) > 0).any():  # what sleeps is stuck, too
        return ()
    repeats = np.diff(samples.segments) == 0
    for axis in axes:
        repeats &= np.abs(np.diff(axis)) <= REPEATS["m/s^2"]
    first, last = runs(repeats)
    starts, ends = samples.times[first], samples.times[last]
    long = ends - starts >= IDLE_S * 1e6
    return tuple(zip(starts[long].tolist(), ends[long].tolist(), strict=True))
