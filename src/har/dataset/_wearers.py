"""The device reference of a training: how its subjects' devices were worn and what they wrote, from the lake."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from har.cutting import RECORDING
from har.devices import DeviceReference, Motion, Wearer, learn
from har.lake import Lake
from har.settings import Settings
from har.windows import WindowSet

_MOST_S = 1200.0
"""Seconds of a subject at one placement: more would not change a limit."""
_AXES = 3


def device_reference(
    lake: Lake,
    settings: Settings,
    windows: WindowSet,
    placements: NDArray[np.str_],
    *,
    seed: int = 0,
) -> DeviceReference | None:
    """What the devices of these windows' subjects were like.

    Args:
        lake: its table of recordings knows the measured rates.
        settings: the channels and the rate.
        windows: of the subjects that the model is trained or calibrated on.
        placements: where the sensor was worn, str (N,).
        seed: of the choice of windows.

    Returns:
        None: the project has no accelerometer with three axes, or there are too few subjects.

    Raises:
        LakeDamageError: the table of recordings cannot be read.
    """
    if _three_axes(settings) is None:
        return None
    rates, uneven = _timing(lake, set(windows.subjects.tolist()))
    return learn(
        _wearers(windows, placements, settings),
        rate_hz=settings.sensors.rate_hz,
        rates_hz=rates,
        uneven=uneven,
        seed=seed,
    )


def _three_axes(settings: Settings) -> tuple[int, int | None] | None:
    """The first channel of the accelerometer and of the gyroscope; None: there is no accelerometer with three axes."""
    first: dict[str, int] = {}
    place = 0
    for kind in ("accelerometer", "gyroscope"):
        sensor = getattr(settings.sensors, kind)
        if sensor is not None:
            if len(sensor.channels) == _AXES:
                first[kind] = place
            place += len(sensor.channels)
    return (first["accelerometer"], first.get("gyroscope")) if "accelerometer" in first else None


def _wearers(windows: WindowSet, placements: NDArray[np.str_], settings: Settings) -> Iterator[Wearer]:
    axes = _three_axes(settings)
    assert axes is not None  # noqa: S101  the caller has looked
    most = round(_MOST_S * settings.sensors.rate_hz)
    keys = np.char.add(np.char.add(windows.subjects, "\0"), placements)
    for key in np.unique(keys):
        own = np.flatnonzero(keys == key)
        pieces, rows = [], 0
        # Windows of one segment overlap, and lie one after the other: the segment is cut out once.
        for segment in np.unique(windows.segments[own]):
            starts = windows.starts[own[windows.segments[own] == segment]]
            samples = windows.samples[starts.min() : starts.max() + windows.length].astype(np.float64)
            rate = np.zeros((len(samples), _AXES)) if axes[1] is None else samples[:, axes[1] : axes[1] + _AXES]
            pieces.append(np.hstack([samples[:, axes[0] : axes[0] + _AXES], rate]))
            rows += len(samples)
            if rows >= most:
                break
        subject, _, placement = str(key).partition("\0")
        yield Wearer(subject, placement, Motion(tuple(pieces), settings.sensors.rate_hz, axes[1] is not None))


def _timing(lake: Lake, subjects: Collection[str]) -> tuple[list[float], list[float]]:
    """Measured rate of each recording, and its share of interpolated samples."""
    table = lake.recordings.read(columns=[*RECORDING, "measured_rate_hz", "interpolated", "samples"])
    rates, uneven = [], []
    for row in table.iter_rows(named=True):
        if row["subject"] in subjects and row["samples"]:
            rates.append(float(row["measured_rate_hz"] or 0.0))
            uneven.append(float(row["interpolated"] or 0) / row["samples"])
    return rates, uneven
