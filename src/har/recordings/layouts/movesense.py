"""Movesense: CSV of the Showcase app (iPhone and Android), and JSON of its live recordings and of the sensor's logbook.

Android: `Timestamp (ms),X: (m/s^2),Y: (m/s^2),Z: (m/s^2)`, the gyroscope in a file of its own with `(degree per
second)`, or both in `Timestamp,AccX,…,GyroX,…`. iPhone: `timestamp,x,y,z`, a packet's stamp in its first row only; the
file's name tells the sensor. JSON: `ArrayAcc` and `ArrayGyro`, the samples of a packet, and its `Timestamp`, at any
depth, also one object a line. Stamps are ms since the sensor was switched on, of a packet's first sample. Acceleration
is in m/s² with gravity, though an old name is LinearAcceleration; the angular rate is in degrees per second.

Source: the sources of mikkojeronen/MovesenseShowcase-iOS and of apps made from the Android one; logbook files of
tjrantal/movesenseJsonReader; Movesense API, /Meas/Acc and /Meas/Gyro.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from har.errors import MalformedRowError, NotARecordingError, reason
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.series import OFFSET_OPTION, Series, largest_offset, recording, spread, whole_numbers
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._look import Look
from har.recordings.layouts._tables.format import fields
from har.recordings.layouts._tables.text import text_rows

_MOST_JSON = 1 << 30
_ARRAYS = ("ArrayAcc", "ArrayGyro")
_BOTH = ("Timestamp", "AccX", "AccY", "AccZ", "GyroX", "GyroY", "GyroZ")
_PACKETS = ("timestamp", "x", "y", "z")
_ACCELEROMETER = re.compile(r"acc(eleration|elerometer)?", re.IGNORECASE)
_GYROSCOPE = re.compile(r"(angular[_ -]?velocity|gyro(scope)?)", re.IGNORECASE)
_SENSOR = re.compile(r"(linear|angular)?[_ -]?(acc(eleration|elerometer)?|velocity|gyro(scope)?)", re.IGNORECASE)


def _kind(look: Look) -> str:
    """What a file holds: "json", "both", "accelerometer" or "gyroscope"; "" if it is none of Movesense's."""
    if not look.lines:
        return ""
    if any(f'"{name}"' in look.text for name in _ARRAYS):
        return "json"
    header = fields(look.lines[0], ",")
    if header[:7] == _BOTH:
        return "both"
    if header[:1] == ("Timestamp (ms)",) and len(header) > 3:
        return "accelerometer" if "m/s^2" in header[1] else "gyroscope" if "degree per second" in header[1] else ""
    if header == _PACKETS and any(line.startswith(",") for line in look.lines[1:4]):
        if _GYROSCOPE.search(look.path.stem):
            return "gyroscope"
        return "accelerometer" if _ACCELEROMETER.search(look.path.stem) else ""
    return ""


def _recognises(look: Look) -> bool:
    return _kind(look) != ""


def _find(source: Source) -> list[Path]:
    largest_offset(source)
    files = source.files("*.csv", "*.txt", "*.json")
    if source.path.is_file():
        return files
    kinds = {path: _kind(Look.of(path)) for path in files}
    mine = [path for path, kind in kinds.items() if kind in ("json", "both", "accelerometer")]
    partners = {_beside(path) for path in mine}
    return sorted([*mine, *(path for path, kind in kinds.items() if kind == "gyroscope" and path not in partners)])


def _beside(path: Path) -> Path | None:
    """The gyroscope's file beside an accelerometer's: the same name but for the sensor's word."""
    name = _SENSOR.sub("#", path.stem)
    for one in sorted(path.parent.iterdir()):
        alike = one != path and one.suffix.lower() == path.suffix.lower() and _SENSOR.sub("#", one.stem) == name
        if alike and one.is_file() and _GYROSCOPE.search(one.stem):
            return one
    return None


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    where = str(path)
    kind = _kind(Look.of(path))
    partner = _beside(path) if kind in ("json", "accelerometer") else None
    if kind == "json":
        packets = list(_packets(path))
        accelerometer, gyroscope = _of_packets(packets, "ArrayAcc", "m/s^2"), _of_packets(packets, "ArrayGyro", "deg/s")
        if gyroscope is None and partner is not None and _kind(Look.of(partner)) == "json":
            gyroscope = _of_packets(list(_packets(source.opens(partner))), "ArrayGyro", "deg/s")
    elif kind == "both":
        accelerometer, gyroscope = _table(path, _BOTH[1:4], "m/s^2"), _table(path, _BOTH[4:], "deg/s")
    else:
        accelerometer = _table(path, None, "m/s^2") if kind == "accelerometer" else None
        gyroscope = _table(source.opens(partner), None, "deg/s") if partner is not None else None
    if accelerometer is None:
        raise NotARecordingError(
            where=where,
            expected="acceleration: ArrayAcc, AccX, or x, y and z in m/s²",
            got="the gyroscope alone" if kind else "another kind of file",
            remedy="Record Acc or IMU6, and give the folder if the two sensors have a file each.",
        )
    session = _SENSOR.sub("", path.stem).strip(" _-") or path.stem
    known = identity(path, source, session=session, device="movesense")
    max_gap_s = source.settings.recordings.max_gap_s
    apart = largest_offset(source) if partner is not None else 0.0
    yield recording(where, known, "device", accelerometer, gyroscope, max_gap_s=max_gap_s, max_offset_s=apart)


def _table(path: Path, columns: Sequence[str] | None, unit: str) -> Series:
    """A sensor's columns of a CSV file; rows without a stamp belong to the packet of the last row with one."""
    header = fields(Look.of(path).lines[0], ",")
    columns = columns or header[1:4]
    rows = text_rows(path, str(path), numbers=columns, texts=[header[0]], separator=",")
    begins = rows.frame[header[0]].is_not_null().to_numpy()
    rows = rows.keep(np.cumsum(begins) > 0, "rows before the first stamp")
    begins = rows.frame[header[0]].is_not_null().to_numpy()
    starts = np.flatnonzero(begins)
    values = rows.xyz(columns)
    first, stamps = whole_numbers(rows.keep(begins, ""), header[0])
    if len(stamps) != len(starts):
        raise MalformedRowError(
            where=str(path),
            expected="stamps in ms",
            got=f"{len(starts) - len(first.frame)} others",
            remedy="Export the recording again.",
        )
    counts = np.diff(starts, append=len(values))
    return Series(*_even(stamps * 1000, counts, values), unit, Counter(rows.faults))


def _even(stamps_us: np.ndarray, counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stamps of all samples; packets, or rows, that share a stamp are one packet."""
    new = np.flatnonzero(np.diff(stamps_us, prepend=stamps_us[:1] - 1) != 0)
    return spread(stamps_us[new], np.add.reduceat(counts, new)) if len(new) else stamps_us, values


def _packets(path: Path) -> Iterator[Mapping[str, Any]]:
    """Every object with `ArrayAcc` or `ArrayGyro`, in the order of the file."""
    size = path.stat().st_size
    if size > _MOST_JSON:
        raise NotARecordingError(
            where=str(path),
            expected=f"at most {_MOST_JSON >> 20:,} MB of JSON, which has to be read at once",
            got=f"{size:,} bytes",
            remedy="Record for a shorter time, or export CSV.",
        )
    content = path.read_bytes()
    try:
        yield from _inside(msgspec.json.decode(content))
    except (msgspec.DecodeError, RecursionError) as whole:
        try:
            for line in content.splitlines():
                if line.strip():
                    yield from _inside(msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError):
            raise NotARecordingError(
                where=str(path),
                expected="JSON, or one JSON object a line",
                got=reason(whole),
                remedy="The file may be cut short: export it again.",
            ) from whole


def _inside(value: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict) and any(name in one for name in _ARRAYS):
            yield one
        elif isinstance(one, (dict, list)):
            waiting += reversed(list(one.values()) if isinstance(one, dict) else one)


def _of_packets(packets: Iterable[Mapping[str, Any]], array: str, unit: str) -> Series | None:
    """A sensor's samples; None if there are none. Packets that are incomplete are left out and counted."""
    stamps, counts, parts = [], [], []
    faults: Counter[str] = Counter()
    for packet in packets:
        samples = packet.get(array)
        if not samples:
            continue
        try:
            stamp = int(packet["Timestamp"])
            values = np.array([[float(sample[axis]) for axis in "xyz"] for sample in samples])
        except (KeyError, TypeError, ValueError):
            faults["packets without a stamp, or without x, y and z"] += 1
            continue
        stamps.append(stamp * 1000)
        counts.append(len(values))
        parts.append(values)
    if not parts:
        return None
    return Series(*_even(np.array(stamps, np.int64), np.array(counts), np.concatenate(parts)), unit, faults)


LAYOUT = Layout(
    "movesense",
    "Movesense: CSV and JSON of the Showcase app, JSON of the logbook",
    _find,
    _read,
    {**OPTIONS, **OFFSET_OPTION},
    _recognises,
)
