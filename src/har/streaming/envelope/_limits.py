"""What a project's messages must hold: its channels, units, rates and sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from har.errors import did_you_mean
from har.log_lines import SESSION, SUBJECT
from har.plausibility import RANGE_SLACK
from har.settings import Settings
from har.streaming.envelope._refusal import refused

RATES_APART = 50.0
"""A device may sample so many times as fast as the project."""
LEAST_RATE = 0.3
"""Share of the project's rate; of a slower device more than 70 % of the samples would be interpolated."""

SUBJECT_NAME, OTHER_NAME = re.compile(SUBJECT), re.compile(SESSION)
"""What a subject may be called; and a device or a session."""

_FLOAT32 = 3e38


@dataclass(frozen=True, slots=True)
class Columns:
    """How a message's columns become the project's channels.

    Attributes:
        places: int64 (C,), the column of each channel; None: they are in order.
        factors: float64 (C,), from the message's unit to the lake's; None: all 1.
    """

    places: NDArray[np.int64] | None
    factors: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Limits:
    """What `decode` compares a message with.

    Attributes:
        channels: the project's, in the model's order.
        sensors: the sensor of each channel, "accelerometer" or "gyroscope"; "" for further channels.
        scales: for each channel, the factor from each unit that it may come in to the lake's unit.
        bounds: float64 (C,), the largest magnitude of each channel that is possible.
        rates: lowest and highest samples per second.
        bytes: of a message, at most.
        placement: where the sensor is worn, if the message does not say.
        gravity: the places of the accelerometer's three axes; None: it has not three.
        by_axis: the project's channel by a name that every project knows, such as "accelerometer.x".
    """

    channels: tuple[str, ...]
    sensors: tuple[str, ...]
    scales: tuple[Mapping[str, float], ...]
    bounds: NDArray[np.float64]
    rates: tuple[float, float]
    bytes: int
    placement: str = ""
    gravity: slice | None = None
    by_axis: Mapping[str, str] = field(default_factory=dict)
    _columns: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], Columns] = field(
        default_factory=dict, repr=False
    )

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a project."""
        sensors = settings.sensors
        named = {"accelerometer": sensors.accelerometer, "gyroscope": sensors.gyroscope}
        owner = {channel: name for name, sensor in named.items() if sensor is not None for channel in sensor.channels}
        scales = [sensor.factors for sensor in sensors.all for _ in sensor.channels]
        full_scales = sensors.full_scales
        bounds = [min(RANGE_SLACK * full_scales[channel], _FLOAT32) for channel in sensors.channels]
        rate = sensors.rate_hz
        return cls(
            channels=sensors.channels,
            sensors=tuple(owner.get(channel, "") for channel in sensors.channels),
            # The factors of the files' columns, so that samples agree in every bit.
            scales=(*scales, *({one.unit: 1.0} for one in sensors.further)),
            bounds=np.array(bounds),
            rates=(max(LEAST_RATE * rate, 1 / settings.recordings.max_gap_s), RATES_APART * rate),
            bytes=settings.stream.message_bytes,
            placement=settings.recordings.placement,
            gravity=slice(0, 3)
            if sensors.accelerometer is not None and len(sensors.accelerometer.channels) == 3
            else None,
            by_axis={
                f"{name}.{axis}": channel
                for name, sensor in named.items()
                if sensor is not None and len(sensor.channels) == len("xyz")
                for axis, channel in zip("xyz", sensor.channels, strict=True)
            },
        )

    def columns(self, channels: tuple[str, ...], units: dict[str, str]) -> Columns:
        """How messages with these channels and units are read; devices say the same in every message.

        Raises:
            EnvelopeError: a channel is missing or listed twice, or a unit is missing or unknown.
        """
        said = channels, tuple(units.items())
        known = self._columns.get(said)
        if known is None:
            known = self._find(channels, units)
            if len(self._columns) >= 1000:  # whoever invents units must not fill the memory
                self._columns.clear()
            self._columns[said] = known
        return known

    def _find(self, channels: tuple[str, ...], units: dict[str, str]) -> Columns:
        channels = tuple(name if name in self.channels else self.by_axis.get(name, name) for name in channels)
        if len(set(channels)) < len(channels):
            twice = next(name for name in channels if channels.count(name) > 1)
            refused("channels", "every channel once", f"{twice!r} twice", "Remove or rename one of them.")
        for name in self.channels:
            if name not in channels:
                listed = ", ".join(channels[:30]) or "none"
                hint = did_you_mean(name, channels)
                refused(
                    "channels", f"a channel {name!r}", listed, f"{hint} Send all of the project's channels.".strip()
                )
        places = np.array([channels.index(name) for name in self.channels])
        in_order = len(channels) == len(places) and bool((places == np.arange(len(places))).all())
        factors = np.array([self._factor(index, units) for index in range(len(self.channels))])
        return Columns(None if in_order else places, None if bool((factors == 1).all()) else factors)

    def _factor(self, index: int, units: dict[str, str]) -> float:
        name, sensor, scale = self.channels[index], self.sensors[index], self.scales[index]
        unit = units.get(name) or units.get(sensor) or ("" if sensor else next(iter(scale)))
        if unit not in scale:
            refused(
                "units",
                f"the unit of {name}: {', '.join(scale)}",
                repr(unit) if unit else "none",
                f'Name it by sensor or by channel, such as {{"{sensor or name}": "{next(iter(scale))}"}}.',
            )
        return scale[unit]
