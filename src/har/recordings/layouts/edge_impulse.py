"""Edge Impulse: JSON files of the data acquisition format, as Studio exports them and `har export edge-impulse` writes.

`payload` holds `interval_ms`, `sensors` (names and units such as m/s2) and `values`, a row for each sample. The label
is in `info.labels` beside the files or above them, else in the file's name up to the first dot. `info.labels` may hold
metadata: subject, session, placement, device and start (ISO) are used. Without a start, times are counted samples.

Source: docs.edgeimpulse.com, "Data acquisition format" and "Edge Impulse labels".
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
import polars as pl

from har.errors import MissingColumnError, NotARecordingError, UnitError, reason
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.series import Series, recording
from har.recordings.layouts._layout import Layout, RawRecording, Source, sample_times
from har.recordings.layouts._look import Look
from har.recordings.layouts._tables.text import number_rows

_MOST_BYTES = 256 << 20
_INFO = "info.labels"
_UNLABELLED = "unlabeled"
_UNITS = {
    **dict.fromkeys(("m/s2", "m/s^2", "m/s²", "ms2"), "m/s^2"),
    **dict.fromkeys(("g", "gs"), "g"),
    **dict.fromkeys(("mg",), "mg"),
    **dict.fromkeys(("rad/s", "rads"), "rad/s"),
    **dict.fromkeys(("deg/s", "dps", "degree/s", "°/s"), "deg/s"),
}
_ROTATION = ("rad/s", "deg/s")
_AXES = re.compile(r"(.*?)[ ._-]?([xyz])", re.IGNORECASE)


class _Sensor(msgspec.Struct):
    name: str
    units: str = ""


class _Payload(msgspec.Struct):
    interval_ms: float
    sensors: list[_Sensor]
    values: list[Any]
    device_name: str = ""
    device_type: str = ""


class _File(msgspec.Struct):
    payload: _Payload


def _recognises(look: Look) -> bool:
    return look.text.lstrip()[:1] == "{" and '"payload"' in look.text and '"interval_ms"' in look.text


def _find(source: Source) -> list[Path]:
    files = source.files("*.json", "*.cbor")
    if source.path.is_file():
        return files
    return [path for path in files if path.suffix.lower() == ".cbor" or _recognises(Look.of(path))]


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    where = str(path)
    if path.suffix.lower() == ".cbor":
        raise NotARecordingError(
            where=where,
            expected="JSON",
            got="CBOR",
            remedy="Export the data from Studio (Dashboard, Export), which writes JSON.",
        )
    payload = _payload(path, where)
    names = [sensor.name for sensor in payload.sensors]
    rows = number_rows(where, _table(where, names, payload.values), names)
    axes = _kinds(where, payload.sensors)
    info = _info(path, source)
    metadata = {str(name): str(value) for name, value in (info.get("metadata") or {}).items()}
    start_us = _start(metadata.get("start", ""))
    times_us = sample_times(rows.numbers, 1000 / payload.interval_ms) + (start_us or 0)
    signals = {
        kind: Series(times_us, rows.xyz(columns), unit, rows.faults if kind == "accelerometer" else Counter())
        for kind, (columns, unit) in axes.items()
    }
    labels = _labels(where, info.get("label"), rows.numbers, len(payload.values), payload.interval_ms)
    known = identity(
        path,
        source,
        session="-".join(filter(None, (metadata.get("session"), metadata.get("part"))))
        or path.name.removesuffix(".json"),
        device=metadata.get("device") or payload.device_type or "edge-impulse",
        subject=metadata.get("subject", ""),
        placement=metadata.get("placement", ""),
        activity=labels if isinstance(labels, str) else _in_name(path) if labels is None else "",
    )
    yield recording(
        where,
        known,
        "counted" if start_us is None else "utc",
        signals["accelerometer"],
        signals.get("gyroscope"),
        max_gap_s=source.settings.recordings.max_gap_s,
        labels=labels if isinstance(labels, pl.Series) and "activity" not in source.options else None,
    )


def _payload(path: Path, where: str) -> _Payload:
    if path.stat().st_size > _MOST_BYTES:
        got = f"{path.stat().st_size:,} bytes"
        raise NotARecordingError(
            where=where,
            expected=f"at most {_MOST_BYTES >> 20} MB of JSON",
            got=got,
            remedy="Split the sample in Studio.",
        )
    try:
        payload = msgspec.json.decode(path.read_bytes(), type=_File).payload
        if not (0 < payload.interval_ms < np.inf and payload.sensors and payload.values):
            raise ValueError("no interval, sensors or values")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotARecordingError(
            where=where,
            expected="a payload with interval_ms, sensors and values",
            got=reason(error),
            remedy="Export the data again; if another app wrote this JSON, `har import auto` tells the layout.",
        ) from error
    return payload


def _table(where: str, names: Sequence[str], values: Sequence[Any]) -> pl.DataFrame:
    """The values by sensor, NaN where a row has others than numbers, or another count of them."""
    if len(set(names)) != len(names):
        raise NotARecordingError(
            where=where, expected="sensors of different names", got=", ".join(names), remedy="Rename them in the file."
        )
    numbers = np.full((len(values), len(names)), np.nan)
    for number, row in enumerate(values):
        if isinstance(row, list) and len(row) == len(names):
            numbers[number] = [value if isinstance(value, (int, float)) else np.nan for value in row]
    return pl.DataFrame(numbers, schema=list(names))


def _kinds(where: str, sensors: Collection[_Sensor]) -> dict[str, tuple[list[str], str]]:
    """Columns and unit of the accelerometer and, if there is one, of the gyroscope; others are left out."""
    found: dict[str, dict[str, _Sensor]] = {}
    for sensor in sensors:
        if match := _AXES.fullmatch(sensor.name):
            found.setdefault(match[1].casefold(), {})[match[2].casefold()] = sensor
    kinds: dict[str, tuple[list[str], str]] = {}
    for form, axes in found.items():
        if len(axes) < 3 or re.search("mag|lin|grav|ori", form):
            continue
        given = axes["x"].units.strip()
        turns = _UNITS.get(given.casefold()) in _ROTATION or "gyr" in form or "rot" in form
        kind = "gyroscope" if turns else "accelerometer"
        unit = _UNITS.get(given.casefold())
        if unit is None or (unit in _ROTATION) != turns:
            known = ", ".join(_UNITS)
            raise UnitError(
                where=f"{where}, sensor {axes['x'].name}",
                expected=f"one of the units {known}",
                got=repr(given),
                remedy="Correct the unit in the file: values cannot be converted without it.",
            )
        kinds.setdefault(kind, ([axes[axis].name for axis in "xyz"], unit))
    if "accelerometer" not in kinds:
        names = [sensor.name for sensor in sensors]
        remedy = "The sample holds no acceleration: leave it out."
        raise MissingColumnError.of(where, "accX", names, remedy)
    return kinds


def _info(path: Path, source: Source) -> Mapping[str, Any]:
    """The entry of a file in `info.labels`, beside it or above it within the source; empty if there is none."""
    root = source.path if source.path.is_dir() else path.parent
    for folder in (path.parent, *path.parent.parents):
        file = folder / _INFO
        index = _index(file, file.stat().st_mtime_ns) if file.is_file() else {}
        if index:
            source.opens(file)
        entry = index.get(path.relative_to(folder).as_posix())
        if entry is not None:
            return entry
        if folder == root:
            break
    return {}


@lru_cache(maxsize=64)
def _index(path: Path, changed_ns: int) -> Mapping[str, Mapping[str, Any]]:
    """The entries of `info.labels` by path, as it was when it was last changed."""
    try:
        read = msgspec.json.decode(path.read_bytes())
        return {PurePosixPath(one["path"]).as_posix(): one for one in read["files"]}
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise NotARecordingError(
            where=str(path),
            expected="the labels as Edge Impulse exports them: a list files, each with a path",
            got=reason(error),
            remedy="Correct the file, or remove it: the labels are then the names of the files up to the first dot.",
        ) from error


def _labels(where: str, label: Any, numbers: np.ndarray, count: int, interval_ms: float) -> str | pl.Series | None:
    """One label for all samples, one for each, "" if it has none, or None if only the file's name tells."""
    if not isinstance(label, Mapping):
        return None
    if label.get("type") == _UNLABELLED:
        return ""
    if "label" in label:
        return str(label["label"])
    parts = label.get("labels") or []
    try:
        spans = [(int(one["startIndex"]), int(one["endIndex"]), str(one["label"])) for one in parts]
    except (KeyError, TypeError, ValueError) as error:
        raise _no_spans(where, reason(error)) from error
    if not spans:
        return None
    # The documentation says milliseconds, and Studio counts samples: the end of the last span tells which.
    last = max(end for _, end, _ in spans)
    if abs(last - (count - 1)) <= 1:
        per_index = 1.0
    elif abs(last - count * interval_ms) <= 2 * interval_ms:
        per_index = 1 / interval_ms
    else:
        raise _no_spans(where, f"{last} at the end of {count:,} samples, {interval_ms:g} ms apart")
    each = np.full(count, None, object)
    for start, end, text in spans:
        each[int(np.ceil(start * per_index)) : int(np.floor(end * per_index)) + 1] = text
    return pl.Series(each[numbers].tolist(), dtype=pl.String)


def _no_spans(where: str, got: str) -> NotARecordingError:
    return NotARecordingError(
        where=f"{where}, {_INFO}",
        expected="labels whose startIndex and endIndex count samples or milliseconds up to the end of the sample",
        got=got,
        remedy="Correct the labels in Studio, or give all samples one: -o activity=walk.",
    )


def _in_name(path: Path) -> str:
    return path.name.partition(".")[0].strip()


def _start(text: str) -> int | None:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


LAYOUT = Layout(
    "edge-impulse",
    "Edge Impulse: JSON of the data acquisition format, with labels",
    _find,
    _read,
    OPTIONS,
    _recognises,
)
