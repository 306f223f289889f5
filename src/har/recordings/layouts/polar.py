"""Polar H10, Verity Sense and OH1: text files of Polar Sensor Logger, and of other apps that write its columns.

`Phone timestamp;sensor timestamp [ns];X [mg];Y [mg];Z [mg]`, and `X [dps]` in the gyroscope's file; H10 and OH1 have no
gyroscope. The sensor's clock counts ns since 2000 if an app has set it, else from a date in its firmware: intervals are
the sensor's, and the date is the phone's. The phone's time is local, without an offset, and late by the transmission:
the least delay within the first minute counts.

Source: polarofficial/polar-ble-sdk, documentation/TimeSystemExplained.md; the FAQ of Polar Sensor Logger.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from har.errors import NotARecordingError, RecordingTimeError
from har.recordings.layouts._held import zones
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.series import (
    OFFSET_OPTION,
    Series,
    largest_offset,
    recording,
    to_micros,
    whole_numbers,
)
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._look import Look
from har.recordings.layouts._tables.format import fields
from har.recordings.layouts._tables.text import Rows, text_rows

_PHONE = "Phone timestamp"
_SENSOR = "sensor timestamp [ns]"
_UNITS = {"mg": "mg", "g": "g", "dps": "deg/s", "deg/sec": "deg/s", "deg/s": "deg/s"}
_AXIS = re.compile(r"([XYZ]) \[([a-z/]+)\]", re.IGNORECASE)
_WORD = re.compile(r"acc(elerometer)?(data)?|gyr(o(scope)?)?(data)?", re.IGNORECASE)
_CLOCK = re.compile(r"_\d{6}(?=_|$)")
_FIRST_US = 60_000_000
"""The part of a recording in which the phone's delay is looked for."""


def _unit(look: Look) -> str:
    """The unit of a file's axes; "" if it has none."""
    if not look.lines or not look.lines[0].startswith(_PHONE):
        return ""
    found = {match[2].lower() for name in fields(look.lines[0], ";") if (match := _AXIS.fullmatch(name))}
    return _UNITS.get(found.pop(), "") if len(found) == 1 else ""


def _recognises(look: Look) -> bool:
    return _unit(look) != ""


def _find(source: Source) -> list[Path]:
    zones.zone_of(source)
    largest_offset(source)
    files = source.files("*.txt", "*.csv")
    if source.path.is_file():
        return files
    units = {path: _unit(Look.of(path)) for path in files}
    mine = [path for path in files if units[path] in ("mg", "g")]
    # Files of other sensors (heart rate, ECG) are passed over; gyroscopes without an accelerometer are refused.
    partners = {_gyroscope_of(path) for path in mine}
    return sorted([*mine, *(path for path in files if units[path] == "deg/s" and path not in partners)])


def _gyroscope_of(path: Path) -> Path | None:
    """The gyroscope's file of an accelerometer's file: of the same name, but for the word, and the seconds."""
    candidates = [
        one
        for one in sorted(path.parent.iterdir())
        if one.suffix.lower() == path.suffix.lower() and one.is_file() and _unit(Look.of(one)) == "deg/s"
    ]
    name = _WORD.sub("#", path.stem)
    same = [one for one in candidates if _WORD.sub("#", one.stem) == name]
    if not same:
        same = [one for one in candidates if _CLOCK.sub("", _WORD.sub("#", one.stem)) == _CLOCK.sub("", name)]
    return same[0] if len(same) == 1 else None


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    where = str(path)
    unit = _unit(Look.of(path))
    if unit not in ("mg", "g"):
        raise NotARecordingError(
            where=where,
            expected="a table with X [mg], Y [mg] and Z [mg]",
            got="a gyroscope without an accelerometer beside it" if unit else "another table",
            remedy="Give the accelerometer's file (…_ACC.txt), or the folder; in Polar Sensor Logger, switch on ACC.",
        )
    accelerometer, offset_us, faults = _dated(where, _rows(path, where), unit, source)
    partner = _gyroscope_of(path)
    gyroscope = None
    if partner is not None:
        rows, times_us = _stamps(_rows(source.opens(partner), str(partner)))
        gyroscope = Series(times_us + offset_us, _values(rows), "deg/s", rows.faults)
    device = re.search(r"polar[_ -]*(h10|verity|sense|oh1)?", path.stem, re.IGNORECASE)
    name = f"polar-{device[1].lower()}" if device and device[1] else "polar"
    session = _WORD.sub("", path.stem).strip("_- ") or path.parent.name
    known = identity(path, source, session=session, device=name)
    max_gap_s = source.settings.recordings.max_gap_s
    yield recording(
        where,
        known,
        "utc",
        accelerometer,
        gyroscope,
        max_gap_s=max_gap_s,
        notes=zones.notes(faults),
        max_offset_s=largest_offset(source),
    )


def _rows(path: Path, where: str) -> Rows:
    look = Look.of(path)
    header = fields(look.lines[0], ";")
    numbers = [name for axis in "XYZ" for name in header if name.startswith(f"{axis} [")]
    comma = len(look.lines) > 1 and "," in ";".join(fields(look.lines[1], ";")[2:])
    return text_rows(
        path, where, numbers=numbers, texts=[_PHONE, _SENSOR], separator=";", decimal="," if comma else "."
    )


def _values(rows: Rows) -> np.ndarray:
    return rows.xyz([name for name in rows.frame.columns if _AXIS.fullmatch(name)])


def _stamps(rows: Rows) -> tuple[Rows, np.ndarray]:
    rows, stamps = whole_numbers(rows, _SENSOR)
    return rows, to_micros(stamps)


def _dated(where: str, rows: Rows, unit: str, source: Source) -> tuple[Series, int, Counter[str]]:
    """The accelerometer's samples in UTC, the offset of the sensor's clock, and what the zone leaves open."""
    rows, times_us = _stamps(rows)
    phone = rows.frame[_PHONE].str.strip_chars().str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    early = (times_us - times_us.min() <= _FIRST_US) if len(times_us) else np.empty(0, np.bool_)
    early &= phone.is_not_null().to_numpy()
    if not early.any():
        raise RecordingTimeError(
            where=where,
            expected="phone timestamps such as 2026-06-10T21:15:41.382 and sensor timestamps in ns",
            got=repr(rows.frame[_PHONE][0]) if len(rows.frame) else "no row with both",
            remedy="Export the recording again; a spreadsheet may have rewritten the stamps.",
        )
    local = phone.to_physical().fill_null(0).to_numpy()
    offset_us = int((local - times_us)[early].min())
    first_us = int(times_us[0])
    utc_us, faults = zones.anchored(first_us + offset_us, zones.zone_of(source))
    offset_us = utc_us - first_us
    return Series(times_us + offset_us, _values(rows), unit, rows.faults + faults), offset_us, faults


LAYOUT = Layout(
    "polar",
    "Polar H10, Verity Sense and OH1: text files of Polar Sensor Logger",
    _find,
    _read,
    {**OPTIONS, **zones.OPTIONS, **OFFSET_OPTION},
    _recognises,
)
