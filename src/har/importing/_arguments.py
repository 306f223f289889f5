"""Check the arguments of an import before any file is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from har.errors import SettingsError, did_you_mean
from har.recordings.layouts import Layout
from har.settings import Settings


def check_arguments(
    layout: Layout, path: Path, settings: Settings, options: Mapping[str, str], units: Mapping[str, str]
) -> None:
    """Refuse options and units that do not exist, a project that readers cannot serve, and a path that does not exist.

    Raises:
        SettingsError: any of these.
    """
    for name in options:
        if name not in layout.options:
            known = ", ".join(layout.options)
            raise SettingsError(
                where=f"har import {layout.name}",
                expected=f"one of the options {known}" if known else "no option",
                got=repr(name),
                remedy=f"{did_you_mean(name, layout.options)} `har import --list` describes them.".strip()
                if known
                else "Leave it out.",
            )
    for sensor, unit in units.items():
        kinds = {"accelerometer": ("g", "mg", "m/s^2"), "gyroscope": ("rad/s", "deg/s")}
        if sensor not in kinds or unit not in kinds[sensor]:
            raise SettingsError(
                where="har import, --unit",
                expected="accelerometer=g, mg or m/s^2, or gyroscope=rad/s or deg/s",
                got=f"{sensor}={unit}",
                remedy="Name the sensor and the actual unit of its values.",
            )
    if settings.sensors.further:
        raise SettingsError(
            where="har.toml, sensors.further",
            expected="no further channels, since readers provide acceleration and angular rate only",
            got=", ".join(one.name for one in settings.sensors.further),
            remedy="Write the inbox files yourself, with a column for every channel in har.toml.",
        )
    for one in settings.sensors.all:
        if len(one.channels) != 3:
            raise SettingsError(
                where="har.toml",
                expected="3 channels per sensor (x, y, z), as readers provide them",
                got=f"{len(one.channels)}: {', '.join(one.channels)}",
                remedy="Set sensors.….channels, or write the inbox files yourself.",
            )
    if not path.exists():
        raise SettingsError(where=str(path), expected="a folder or file", got="no such path", remedy="Check the path.")
