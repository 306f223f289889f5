"""What is odd about the values of a recording, one sentence each; nothing is refused or changed.

A dead axis, a column taken for two channels, acceleration without gravity, and an angular rate in another unit than the
declared one all lie within the sensor's range: only the other channels tell.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from har.plausibility import GRAVITY, Doubts
from har.recordings._cleaning import Samples
from har.schema import FLAGS
from har.settings import Sensor, Settings

_LEAST = 50
"""Samples; a shorter recording tells nothing."""
_WINDOW_S = 4.0
_WINDOWS = 1000
"""Spread over a recording; more tell nothing new."""
_LOOKED_AT = 10_000
"""Samples that are compared between channels, spread over the recording."""
_BLOCK_S = 0.5
_TURN = 0.15
"""Radians; how far gravity must turn within a block for the turn to be measured."""
_BLOCKS = 8
_TOO_LITTLE = 1 / 25
"""Radians and degrees are 57 apart. Jerks turn the measured acceleration more than the sensor, by up to 20 times."""
_SENTENCES = {
    "gravity": "the acceleration averages out: gravity seems to be removed; export the total acceleration",
    "gyroscope_unit": "the gyroscope turns much further than gravity does: the angular rate looks like deg/s "
    "(sensors.gyroscope.unit is {unit})",
}


def oddities(samples: Samples, settings: Settings) -> list[str]:
    """Sentences about the values of a recording, without a final stop; empty if nothing is odd.

    Args:
        samples: at the project's rate, in SI units.
        settings: name the channels and units.
    """
    if samples.values.shape[1] < _LEAST:
        return []
    names = settings.sensors.channels
    notes = []
    for sensor, first in _sensors(settings):
        notes += _dead(samples.values, names, sensor, first)
    notes += _equal(samples.values, names)
    gyroscope = settings.sensors.gyroscope
    unit = gyroscope.unit if gyroscope is not None else ""
    windows = _blocks(samples, round(_WINDOW_S * settings.sensors.rate_hz))
    judge = Doubts(units=settings.sensors.units, rate_hz=settings.sensors.rate_hz, length=max(1, windows.shape[1]))
    codes = [doubt.code for doubt in judge.of(windows[:: max(1, len(windows) // _WINDOWS)])]
    notes += [_SENTENCES[code].format(unit=unit) for code in codes if code in _SENTENCES]
    axes = [len(sensor.channels) for sensor in (settings.sensors.accelerometer, gyroscope) if sensor is not None]
    if unit == "deg/s" and axes == [3, 3] and not notes:
        notes += _turns_too_little(samples, settings.sensors.rate_hz)
    return notes


def _sensors(settings: Settings) -> list[tuple[Sensor, int]]:
    """Each sensor with the position of its first channel."""
    found, first = [], 0
    for sensor in settings.sensors.all:
        found.append((sensor, first))
        first += len(sensor.channels)
    return found


def _dead(values: NDArray[np.float32], names: tuple[str, ...], sensor: Sensor, first: int) -> list[str]:
    """Channels of a sensor that hold one value throughout."""
    places = range(first, first + len(sensor.channels))
    constant = [place for place in places if (values[place] == values[place, 0]).all()]
    if not constant:
        return []
    if len(constant) == len(sensor.channels):
        return [f"{', '.join(sensor.channels)} do not change: the sensor was off, or was not worn"]
    return [
        f"{names[place]} is {values[place, 0] + 0.0:g} throughout while other axes move: dead, or the wrong column"
        for place in constant
    ]


def _equal(values: NDArray[np.float32], names: tuple[str, ...]) -> list[str]:
    """Pairs of channels with the same values: one column was taken for two."""
    some = values[:, :: max(1, values.shape[1] // _LOOKED_AT)]
    moving = [place for place in range(len(some)) if (some[place] != some[place, 0]).any()]
    # Compared after scaling: an acceleration in g is stored in m/s².
    scaled = {place: some[place] / np.abs(some[place]).max() for place in moving}
    return [
        f"{names[one]} and {names[other]} have the same values: one column was taken for both"
        for one, other in combinations(moving, 2)
        if np.allclose(scaled[one], scaled[other], rtol=0, atol=1e-6)
    ]


def _blocks(samples: Samples, size: int) -> NDArray[np.float32]:
    """Blocks of `size` samples within a segment and without a stuck sample, float32 (N, size, C)."""
    count = samples.values.shape[1] // size
    blocks = samples.values[:, : count * size].reshape(len(samples.values), count, size).transpose(1, 2, 0)
    segments = samples.segments[: count * size].reshape(count, size)
    stuck = (samples.flags[: count * size].reshape(count, size) & FLAGS["stuck"]).any(axis=1)
    return np.ascontiguousarray(blocks[(segments[:, 0] == segments[:, -1]) & ~stuck])


def _turns_too_little(samples: Samples, rate_hz: float) -> list[str]:
    """Radians read as degrees: the gyroscope turns a small part of the way that the direction of gravity does."""
    size = max(2, round(_BLOCK_S * rate_hz))
    means = _blocks(samples, size).astype(np.float64).mean(axis=1)
    if len(means) < 2:
        return []
    gravity, turned = means[:, :3], means[:, 3:6] * (size / rate_hz)
    length = np.linalg.norm(gravity, axis=1)
    steady = (length > 0.8 * GRAVITY) & (length < 1.2 * GRAVITY)
    direction = gravity / np.maximum(length, 1e-9)[:, None]
    angle = np.arccos(np.clip((direction[1:] * direction[:-1]).sum(axis=1), -1, 1))
    # Between the middles of two blocks lies half of each; only the turn across gravity changes its direction.
    measured = np.linalg.norm(np.cross((turned[1:] + turned[:-1]) / 2, direction[:-1]), axis=1)
    clear = steady[1:] & steady[:-1] & (angle > _TURN)
    if clear.sum() < _BLOCKS or np.median(measured[clear] / angle[clear]) >= _TOO_LITTLE:
        return []
    return [
        "the gyroscope turns a small part of the way that gravity does: the angular rate looks like rad/s "
        "(sensors.gyroscope.unit is deg/s)"
    ]
