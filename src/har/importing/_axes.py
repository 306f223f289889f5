"""Rename, swap and flip the axes of a sensor while it is imported: the option `--axes` of `har import`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from har.devices import axes_of
from har.errors import SettingsError
from har.recordings.layouts import RawRecording, Signal

_SENSORS = ("accelerometer", "gyroscope")


def check_axes(axes: Mapping[str, str]) -> None:
    """Refuse axes that are none.

    Raises:
        SettingsError: an unknown sensor, or not x, y and z once each.
    """
    for sensor, text in axes.items():
        if sensor not in _SENSORS or axes_of(text) is None:
            raise SettingsError(
                where="har import, --axes",
                expected="accelerometer=… or gyroscope=… with x, y and z once each, such as accelerometer=y,-x,z",
                got=f"{sensor}={text}",
                remedy="`har check-device FILE` says which axes fit.",
            )


def turned(raw: RawRecording, axes: Mapping[str, str]) -> RawRecording:
    """The recording with its sensors' axes as named: "y,-x,z" makes the file's y the first one, its -x the second."""
    if not axes:
        return raw

    def named(signal: Signal | None, sensor: str) -> Signal | None:
        matrix = axes_of(axes.get(sensor, "x,y,z"))
        return signal if signal is None or matrix is None else Signal(signal.values @ matrix.T, signal.unit)

    return replace(
        raw,
        accelerometer=named(raw.accelerometer, "accelerometer"),
        gyroscope=named(raw.gyroscope, "gyroscope"),
    )
