"""What is odd about the values of a recording, one sentence each; nothing is refused or changed.

A dead axis, a column taken for two channels, acceleration without gravity, and an angular rate in another unit than the
declared one all lie within the sensor's range: only the other channels tell.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from har.recordings._cleaning import Samples
from har.settings import STANDARD_GRAVITY, Sensor, Settings

_LEAST = 50
"""Samples; a shorter recording tells nothing."""
_BLOCK_S = 0.5
_TURN = 0.15
"""Radians; how far gravity must turn within a block for the turn to be measured."""
_BLOCKS = 8
_RATIOS = 1 / 25, 8.0
"""Degrees and radians are 57 apart. Jerks turn the measured acceleration more than the sensor, by up to 20 times."""
_NO_GRAVITY = 0.3 * STANDARD_GRAVITY


def oddities(samples: Samples, settings: Settings, rate_hz: float) -> list[str]:
    """Sentences about the values of a recording, without a final stop; empty if nothing is odd.

    Args:
        samples: cleaned, before resampling.
        settings: name the channels and units.
        rate_hz: the measured rate.
    """
    if samples.values.shape[1] < _LEAST:
        return []
    names = settings.sensors.channels
    notes = []
    for sensor, first in _sensors(settings):
        notes += _dead(samples.values, names, sensor, first)
    notes += _equal(samples.values, names)
    accelerometer, gyroscope = settings.sensors.accelerometer, settings.sensors.gyroscope
    if accelerometer is not None and len(accelerometer.channels) == 3 and rate_hz > 0:
        size = max(2, round(_BLOCK_S * rate_hz))
        mean = _block_means(samples.values[:3], samples.segments, size)
        notes += _gravity(mean)
        if gyroscope is not None and len(gyroscope.channels) == 3:
            turned = _block_means(samples.values[3:6], samples.segments, size) * (size / rate_hz)
            notes += _rate_unit(mean, turned, gyroscope)
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
        f"{names[place]} is {values[place, 0]:g} throughout while other axes move: the axis is dead, or its column wrong"
        for place in constant
    ]


def _equal(values: NDArray[np.float32], names: tuple[str, ...]) -> list[str]:
    """Pairs of channels with the same values: one column was taken for two."""
    moving = [place for place in range(len(values)) if (values[place] != values[place, 0]).any()]
    # Compared after scaling: an acceleration in g is stored in m/s².
    scaled = {place: values[place] / np.abs(values[place]).max() for place in moving}
    return [
        f"{names[one]} and {names[other]} have the same values: one column was taken for both"
        for one, other in combinations(moving, 2)
        if np.allclose(scaled[one], scaled[other], rtol=0, atol=1e-6)
    ]


def _block_means(values: NDArray[np.float32], segments: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Means of (C, n) over full blocks of `size` samples within a segment, (blocks, C); NaN between segments."""
    count = values.shape[1] // size
    blocks = values[:, : count * size].astype(np.float64).reshape(len(values), count, size).mean(axis=2).T
    ends = segments[: count * size].reshape(count, size)
    blocks[ends[:, 0] != ends[:, -1]] = np.nan
    return np.asarray(blocks, np.float64)


def _gravity(mean: NDArray[np.float64]) -> list[str]:
    """Movement averages out over half a second, and gravity does not."""
    lengths = np.linalg.norm(mean, axis=1)
    lengths = lengths[np.isfinite(lengths)]
    if len(lengths) < _BLOCKS or np.median(lengths) >= _NO_GRAVITY:
        return []
    return [
        f"the acceleration averages to {np.median(lengths):.2g} m/s² over half a second: gravity seems to be removed; "
        "export the total acceleration"
    ]


def _rate_unit(gravity: NDArray[np.float64], turned: NDArray[np.float64], gyroscope: Sensor) -> list[str]:
    """Compare how far the direction of gravity turns between blocks with the turn that the gyroscope measured."""
    length = np.linalg.norm(gravity, axis=1)
    steady = (length > 0.8 * STANDARD_GRAVITY) & (length < 1.2 * STANDARD_GRAVITY)
    direction = gravity / np.maximum(length, 1e-9)[:, None]
    angle = np.arccos(np.clip((direction[1:] * direction[:-1]).sum(axis=1), -1, 1))
    # Between the middles of two blocks lies half of each; only the turn across gravity changes its direction.
    between = (turned[1:] + turned[:-1]) / 2
    measured = np.linalg.norm(np.cross(between, direction[:-1]), axis=1)
    clear = steady[1:] & steady[:-1] & (angle > _TURN) & np.isfinite(measured)
    if clear.sum() < _BLOCKS:
        return []
    ratio = float(np.median(measured[clear] / angle[clear]))
    other = next((unit for unit in gyroscope.factors if unit != gyroscope.unit), "")
    if _RATIOS[0] <= ratio <= _RATIOS[1]:
        return []
    how = f"{ratio:.0f} times as far" if ratio > 1 else f"{ratio:.2g} of the way"
    fits = (ratio > 1) == (gyroscope.factors[other] < gyroscope.to_si) and 1 / 200 < ratio < 200
    likely = f"the angular rate looks like {other}" if fits else "unit or columns of the gyroscope are wrong"
    return [f"the gyroscope turned {how} as gravity did: {likely} (sensors.gyroscope.unit is {gyroscope.unit})"]
