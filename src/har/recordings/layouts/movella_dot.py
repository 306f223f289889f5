"""Movella DOT (Xsens DOT): CSV of the app, the Data Exporter and the SDK.

Some lines `Name:,value` stand above the header `PacketCounter,SampleTimeFine,…`. `SampleTimeFine` is µs of the sensor's
clock and starts anew after 2^32 µs, about 1.2 hours. `Acc_X` to `Acc_Z` are m/s² with gravity, `Gyr_X` to `Gyr_Z` are
degrees per second. `FreeAcc` has no gravity. `StartTime` is the phone's local time, with the zone's abbreviation.

Source: Movella DOT User Manual (XD0502P) and Xsens DOT User Manual, "Output data"; the lines above the header as in
public recordings.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from har.errors import NotARecordingError, RecordingTimeError
from har.recordings.layouts._held import zones
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.series import Series, recording, whole_numbers
from har.recordings.layouts._layout import Clock, Layout, RawRecording, Source
from har.recordings.layouts._look import Look
from har.recordings.layouts._tables.format import fields
from har.recordings.layouts._tables.text import text_rows

_TIME = "SampleTimeFine"
_ACCELERATION = ("Acc_X", "Acc_Y", "Acc_Z")
_ROTATION = ("Gyr_X", "Gyr_Y", "Gyr_Z")
_WRAP = 1 << 32
_START = re.compile(r"(\d{4})-(\d{2})-(\d{2})[_ T](\d{2}):(\d{2}):(\d{2})(?:[_.](\d{1,6}))?\s*(.*)")
_MODE = (
    "Record in a mode whose data hold acceleration and angular velocity, such as Rate quantities or Custom mode 5; "
    "free acceleration has no gravity, and cannot be used."
)


def _header(lines: Sequence[str]) -> int:
    """The line of the header, from 0; -1 if there is none."""
    return next((row for row, line in enumerate(lines) if _TIME in fields(line, ",")), -1)


def _recognises(look: Look) -> bool:
    return _header(look.lines) >= 0


def _find(source: Source) -> list[Path]:
    zones.zone_of(source)
    files = source.files("*.csv")
    return files if source.path.is_file() else [path for path in files if _recognises(Look.of(path))]


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    where = str(path)
    lines = Look.of(path).lines
    row = _header(lines)
    if row < 0:
        raise NotARecordingError(
            where=where,
            expected=f"a table with the column {_TIME}",
            got=repr(lines[0][:100]) if lines else "no text",
            remedy="Export the recording as CSV in the app or the Movella DOT Data Exporter.",
        )
    header = fields(lines[row], ",")
    if not set(_ACCELERATION) <= set(header):
        raise NotARecordingError(
            where=where, expected="the columns Acc_X, Acc_Y and Acc_Z", got=", ".join(header)[:200], remedy=_MODE
        )
    above = {
        name.strip().rstrip(":"): rest.strip(" ,") for name, _, rest in (one.partition(",") for one in lines[:row])
    }
    turns = set(_ROTATION) <= set(header)
    numbers = [*_ACCELERATION, *(_ROTATION if turns else ())]
    # Lines may end in an empty field, which stands for no column.
    names = [name or f"unnamed {place}" for place, name in enumerate(header)]
    rows = text_rows(path, where, numbers=numbers, texts=[_TIME], header=names, separator=",", skip=row + 1)
    rows, ticks = whole_numbers(rows, _TIME)
    times_us, clock, faults = _times(where, ticks, above.get("StartTime", ""), source)
    accelerometer = Series(times_us, rows.xyz(_ACCELERATION), "m/s^2", rows.faults + faults)
    gyroscope = Series(times_us, rows.xyz(_ROTATION), "deg/s") if turns else None
    known = identity(path, source, session=path.stem, device=above.get("DeviceTag") or "movella-dot")
    max_gap_s = source.settings.recordings.max_gap_s
    yield recording(where, known, clock, accelerometer, gyroscope, max_gap_s=max_gap_s, notes=zones.notes(faults))


def _times(
    where: str, ticks: NDArray[np.int64], start: str, source: Source
) -> tuple[NDArray[np.int64], Clock, Counter[str]]:
    """Stamps in UTC if the file tells when it began, else by the sensor's clock."""
    turns = np.cumsum(np.diff(ticks, prepend=ticks[:1]) < -_WRAP // 2)
    ticks = ticks + turns * _WRAP
    match = _START.search(start)
    if match is None or not len(ticks):
        return ticks, "device", Counter()
    year, month, day, hour, minute, second = (int(text) for text in match.groups()[:6])
    local = dt.datetime(year, month, day, hour, minute, second, int(f"{match[7] or '0':0<6}"))
    local_us = (local - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    zone, name = zones.zone_of(source), match[8].strip()
    faults: Counter[str] = Counter()
    if not name or "zone" in source.options:
        begin_us, faults = zones.anchored(local_us, zone)
    else:
        offset_us = zones.named_offset_us(name, local_us, zone)
        if offset_us is None:
            raise RecordingTimeError(
                where=f"{where}, StartTime",
                expected=f"a local time in {zone}, or in UTC",
                got=f"{start!r}; {name} is no name of {zone}",
                remedy="Name the zone of the phone: -o zone=Europe/Lisbon, for example.",
            )
        begin_us = local_us - offset_us
    return ticks - ticks[0] + begin_us, "utc", faults


LAYOUT = Layout(
    "movella-dot",
    "Movella DOT (Xsens DOT): CSV of the app or the Data Exporter",
    _find,
    _read,
    {**OPTIONS, **zones.OPTIONS},
    _recognises,
)
