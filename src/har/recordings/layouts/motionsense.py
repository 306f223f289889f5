"""MotionSense (Malekzadeh et al., IoTDI 2019): a phone in the trouser pocket, 24 subjects, 15 trials each.

`A_DeviceMotion_data/<activity>_<trial>/sub_<n>.csv`, 50 Hz without stamps. Gravity and user acceleration are
separate columns in g; total acceleration is their sum. Rotation rate is in rad/s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from har.errors import FileNameError
from har.recordings.layouts._layout import Layout, RawRecording, Signal, Source, sample_times
from har.recordings.layouts._tables.text import text_rows

RATE_HZ = 50.0
_PATH = re.compile(r"(?P<activity>[a-z]+)_(?P<trial>\d+)/sub_(?P<subject>\d+)\.csv", re.IGNORECASE)
_GRAVITY = ("gravity.x", "gravity.y", "gravity.z")
_USER = ("userAcceleration.x", "userAcceleration.y", "userAcceleration.z")
_ROTATION = ("rotationRate.x", "rotationRate.y", "rotationRate.z")
_OTHERS = {"B_Accelerometer_data", "C_Gyroscope_data"}  # the same trials in one file per sensor, without gravity


def _find(source: Source) -> list[Path]:
    return [path for path in source.files("sub_*.csv", "._sub_*.csv") if not _OTHERS & set(path.parts)]


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    match = _PATH.fullmatch(f"{path.parent.name}/{path.name}")
    if match is None:
        raise FileNameError.not_as_published(
            str(path), expected="<activity>_<trial>/sub_<n>.csv", got=f"{path.parent.name}/{path.name}"
        )
    rows = text_rows(path, str(path), numbers=[*_GRAVITY, *_USER, *_ROTATION], separator=",")
    yield RawRecording(
        where=str(path),
        subject=f"s{int(match['subject']):02d}",
        session=path.parent.name,
        times_us=sample_times(rows.numbers, RATE_HZ),
        clock="counted",
        accelerometer=Signal(rows.xyz(_GRAVITY) + rows.xyz(_USER), "g"),
        gyroscope=Signal(rows.xyz(_ROTATION), "rad/s"),
        labels=match["activity"].lower(),
        placement="pocket",
        device="phone",
        faults=rows.faults,
    )


LAYOUT = Layout("motionsense", "MotionSense, device motion as published (phone, 50 Hz, 6 activities)", _find, _read)
