"""The model's input: channels, units, rate and length, and which channels are the axes of one sensor."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from har.settings import Settings

SHORTEST = 8
"""Smallest number of samples in a window."""


@dataclass(frozen=True)
class Signal:
    """The model's input and the names of its classes.

    Attributes:
        channels: names, in the order of the window's last axis.
        units: SI unit per channel.
        rate_hz: samples per second.
        length: samples per window, T.
        activities: class names, in the order of the labels.
        triples: for each three-axis sensor the indices of its x, y and z channel.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    length: int
    activities: tuple[str, ...]
    triples: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if len(self.units) != len(self.channels):
            raise ValueError(f"expected one unit per channel, but got {len(self.units)} for {len(self.channels)}")
        if len(set(self.channels)) != len(self.channels) or not self.channels:
            raise ValueError(f"expected at least one channel, and different names, but got {self.channels}")
        if len(set(self.activities)) != len(self.activities) or len(self.activities) < 2:
            raise ValueError(f"expected at least two activities, and different names, but got {self.activities}")
        if self.length < SHORTEST or not self.rate_hz > 0:
            raise ValueError(
                f"expected at least {SHORTEST} samples at a rate above 0 Hz, but got {self.length} at {self.rate_hz} Hz"
            )
        axes = [axis for triple in self.triples for axis in triple]
        if len(set(axes)) != len(axes) or not set(axes) <= set(range(len(self.channels))):
            raise ValueError(f"expected triples of different channel indices, but got {self.triples}")

    @classmethod
    def from_settings(cls, settings: Settings) -> Signal:
        """The signal that har.toml describes; a sensor with exactly three channels counts as three-axis."""
        triples, first = [], 0
        for sensor in settings.sensors.all:
            if len(sensor.channels) == 3:
                triples.append((first, first + 1, first + 2))
            first += len(sensor.channels)
        return cls(
            channels=settings.sensors.channels,
            units=settings.sensors.units,
            rate_hz=settings.sensors.rate_hz,
            length=settings.length,
            activities=settings.activities.all,
            triples=tuple(triples),
        )

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the described series: the channels, then the magnitude of each three-axis sensor."""
        axes = [tuple(self.channels[index] for index in triple) for triple in self.triples]
        short = [f"{_common_prefix(names).rstrip('_')}_norm" for names in axes]
        return (
            *self.channels,
            *(
                name if name != "_norm" and short.count(name) == 1 and name not in self.channels else "+".join(names)
                for name, names in zip(short, axes, strict=True)
            ),
        )


def _common_prefix(names: tuple[str, ...]) -> str:
    equal = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in equal)
