"""Empatica EmbracePlus: the Avro files of raw data, one every 15 to 30 minutes.

`rawData.accelerometer` and `rawData.gyroscope` hold `timestampStart` (µs since 1970, UTC), `samplingFrequency`, counts
x, y, z and `imuParams`: up to version 6.4 of the schema the physical and digital range, whose ratio is g, or degrees
per second, per count; from 6.5 on `conversionFactor`. Most sensors are configured without a gyroscope. The file's name
is `<participant>_<start in s>.avro`.

Source: Empatica's support pages "Raw data in the Empatica Cloud" and the User's Manual of EmbracePlus, "Sensors Raw
Data Specifications"; the change in 6.5 as in the open reader of biomarkersParkinson/paradigma.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from har.errors import EmptyRecordingError, NotARecordingError, SettingsError, UnitError, reason
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.series import Series, recording
from har.recordings.layouts._layout import Layout, RawRecording, Source, sample_times
from har.recordings.layouts._look import Look

_MAGIC = b"Obj\x01"
_AGAIN = "Download the file again from the raw data of the study (folder raw_data)."


def _recognises(look: Look) -> bool:
    return look.head.startswith(_MAGIC) and (b"empatica" in look.head or b"imuParams" in look.head)


def _find(source: Source) -> list[Path]:
    return source.files("*.avro")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    where = str(path)
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise NotARecordingError(where=where, expected="an Avro file", got="another kind of file", remedy=_AGAIN)
    participant, _, start = path.stem.rpartition("_")
    for number, session in enumerate(_sessions(path), 1):
        sensors = session.get("rawData") or {}
        accelerometer = _series(where, sensors.get("accelerometer"), "g")
        if accelerometer is None:
            raise EmptyRecordingError(
                where=where,
                expected="samples of the accelerometer (rawData.accelerometer)",
                got="none",
                remedy="The wristband was not worn, or was charging. Leave the file out.",
            )
        known = identity(
            path,
            source,
            session=start or path.stem if number == 1 else f"{start or path.stem}-{number}",
            device="empatica-embraceplus",
            subject=participant,
            placement="wrist",
        )
        gyroscope = _series(where, sensors.get("gyroscope"), "deg/s")
        max_gap_s = source.settings.recordings.max_gap_s
        yield recording(where, known, "utc", accelerometer, gyroscope, max_gap_s=max_gap_s)


def _sessions(path: Path) -> Iterator[Mapping[str, Any]]:
    """The records of a file; Empatica writes one."""
    try:
        import fastavro
    except ImportError as error:
        raise SettingsError(
            where="har import embrace-plus",
            expected="the package fastavro",
            got=reason(error),
            remedy="Install the extra: pip install 'har-mlops[devices]'.",
        ) from error
    try:
        with path.open("rb") as file:
            for record in fastavro.reader(file):
                if not isinstance(record, Mapping) or "rawData" not in record:
                    raise NotARecordingError(
                        where=str(path),
                        expected="a record with rawData, as EmbracePlus writes it",
                        got="an Avro file of something else",
                        remedy=_AGAIN,
                    )
                yield record
    except (ValueError, EOFError, KeyError, IndexError, TypeError, zlib.error) as error:
        if isinstance(error, NotARecordingError):
            raise
        raise NotARecordingError(
            where=str(path), expected="a complete Avro file", got=reason(error) or "its end", remedy=_AGAIN
        ) from error


def _series(where: str, sensor: Mapping[str, Any] | None, unit: str) -> Series | None:
    """The samples of a sensor; None if there are none."""
    if not sensor or not len(sensor.get("x") or ()):
        return None
    axes = [np.asarray(sensor[axis], np.float64) for axis in "xyz"]
    count = min(len(axis) for axis in axes)
    rate_hz = float(sensor.get("samplingFrequency") or 0)
    if rate_hz <= 0:
        raise NotARecordingError(where=where, expected="samplingFrequency above 0", got=f"{rate_hz:g}", remedy=_AGAIN)
    factor = _per_count(where, sensor.get("imuParams") or {}, unit)
    values = factor * np.stack([axis[:count] for axis in axes], axis=1)
    return Series(int(sensor["timestampStart"]) + sample_times(count, rate_hz), values, unit)


def _per_count(where: str, parameters: Mapping[str, Any], unit: str) -> float:
    """g or degrees per second of one count."""
    factor = parameters.get("conversionFactor")
    if factor:
        return float(factor)
    try:
        physical = float(parameters["physicalMax"]) - float(parameters["physicalMin"])
        digital = float(parameters["digitalMax"]) - float(parameters["digitalMin"])
        return physical / digital
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise UnitError(
            where=where,
            expected=f"imuParams with conversionFactor or both ranges, which tell {unit} per count",
            got=", ".join(f"{name} {value}" for name, value in parameters.items()) or "none",
            remedy=_AGAIN,
        ) from error


LAYOUT = Layout(
    "embrace-plus",
    "Empatica EmbracePlus: Avro files of raw data (needs the extra devices)",
    _find,
    _read,
    OPTIONS,
    _recognises,
)
