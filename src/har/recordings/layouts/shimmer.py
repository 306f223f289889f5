"""Shimmer3: calibrated CSV of Consensys, also several sensors in one file.

A first line `sep=,` (or `;` or a tab), then names such as `Shimmer_40AC_Accel_LN_X_CAL`, then their units, then the
samples; lines may end in a delimiter. `Accel_LN` is the low-noise accelerometer (±2 g), `Accel_WR` the wide-range
one, both in `m/(s^2)`; `Gyro` is in `deg/s`. Stamps are `Timestamp_Unix_CAL` (or `TimestampSync_…`) in ms since 1970,
`…_FormattedUnix_CAL` in local time, or `Timestamp_CAL` in ms since the sensor was switched on. Each prefix is a sensor.

Source: Shimmer's Consensys User Guide; names and units as in the reader of hpi-dhc/devicely and its recordings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import NotARecordingError, RecordingTimeError, UnitError
from har.recordings._local_time import local_to_utc
from har.recordings.layouts._held import zones
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.series import Series, recording
from har.recordings.layouts._layout import Clock, Layout, RawRecording, Source
from har.recordings.layouts._look import Look
from har.recordings.layouts._tables.format import fields, most_frequent
from har.recordings.layouts._tables.text import Rows, text_rows

_NAME = re.compile(r"(.+)_(Accel_LN|Accel_WR|Gyro)_([XYZ])_CAL")
_RAW = re.compile(r".+_(Accel_LN|Accel_WR|Gyro)_[XYZ]_RAW")
_STAMPS = (
    "TimestampSync_Unix_CAL",
    "Timestamp_Unix_CAL",
    "TimestampSync_FormattedUnix_CAL",
    "Timestamp_FormattedUnix_CAL",
    "TimestampSync_CAL",
    "Timestamp_CAL",
)
_UNITS = {"m/(s^2)": "m/s^2", "m/(sec^2)": "m/s^2", "m/s^2": "m/s^2", "g": "g", "deg/s": "deg/s", "rad/s": "rad/s"}
_FAR_MS = 1e14
_AGAIN = "In Consensys, export calibrated data (CAL) as CSV."
_ACCELEROMETERS = {"ln": "Accel_LN", "wr": "Accel_WR"}


@dataclass(frozen=True)
class _Head:
    """The lines above the samples.

    Attributes:
        names: of the columns.
        units: of the columns.
        separator: between two fields.
        skip: lines above the first sample.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    separator: str
    skip: int

    @classmethod
    def of(cls, lines: Sequence[str]) -> _Head | None:
        """The head of a file; None if it is another kind of file."""
        for row, line in enumerate(lines[:5]):
            separator = most_frequent(line)
            names = fields(line, separator)
            if any(_NAME.fullmatch(name) or _RAW.fullmatch(name) for name in names) and row + 1 < len(lines):
                units = fields(lines[row + 1], separator)
                names = tuple(name or f"unnamed {place}" for place, name in enumerate(names))
                return cls(names, (*units, *[""] * (len(names) - len(units))), separator, row + 2)
        return None

    def unit(self, where: str, name: str) -> str:
        """The unit of a column.

        Raises:
            UnitError: it is none that is known.
        """
        text = self.units[self.names.index(name)]
        if text not in _UNITS:
            raise UnitError(where=f"{where}, {name}", expected=" or ".join(_UNITS), got=repr(text), remedy=_AGAIN)
        return _UNITS[text]


def _recognises(look: Look) -> bool:
    return _Head.of(look.lines) is not None


def _find(source: Source) -> list[Path]:
    zones.zone_of(source)
    source.choice("accelerometer", _ACCELEROMETERS, default="ln")
    files = source.files("*.csv", "*.txt", "*.dat")
    return files if source.path.is_file() else [path for path in files if _recognises(Look.of(path))]


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    where = str(path)
    head = _Head.of(Look.of(path).lines)
    if head is None:
        raise NotARecordingError(
            where=where, expected="columns such as Shimmer_40AC_Accel_LN_X_CAL", got="another table", remedy=_AGAIN
        )
    prefixes = list(dict.fromkeys(match[1] for name in head.names if (match := _NAME.fullmatch(name))))
    if not prefixes:
        raise NotARecordingError(where=where, expected="calibrated columns (CAL)", got="raw counts", remedy=_AGAIN)
    for prefix in prefixes:
        yield _sensor(path, source, head, prefix, f"{path.stem}-{prefix}" if len(prefixes) > 1 else path.stem)


def _sensor(path: Path, source: Source, head: _Head, prefix: str, session: str) -> RawRecording:
    where = str(path)
    acceleration = _accelerometer(where, source, head, prefix)
    rotation = _axes(head, prefix, "Gyro")
    stamp = next((f"{prefix}_{name}" for name in _STAMPS if f"{prefix}_{name}" in head.names), "")
    if not stamp:
        raise RecordingTimeError(
            where=where,
            expected=f"a column {prefix}_Timestamp_Unix_CAL",
            got="none",
            remedy="In Consensys, export the timestamp, as Unix time in ms.",
        )
    rows = text_rows(
        path,
        where,
        numbers=[*acceleration, *rotation],
        texts=[stamp],
        header=head.names,
        separator=head.separator,
        skip=head.skip,
    )
    rows, times_us, clock, faults = _times(rows, stamp, source)
    accelerometer = Series(times_us, rows.xyz(acceleration), head.unit(where, acceleration[0]), rows.faults + faults)
    gyroscope = Series(times_us, rows.xyz(rotation), head.unit(where, rotation[0])) if rotation else None
    known = identity(path, source, session=session, device=prefix.replace("_", "-"))
    max_gap_s = source.settings.recordings.max_gap_s
    return recording(where, known, clock, accelerometer, gyroscope, max_gap_s=max_gap_s, notes=zones.notes(faults))


def _accelerometer(where: str, source: Source, head: _Head, prefix: str) -> list[str]:
    chosen = source.options.get("accelerometer")
    for short, kind in _ACCELEROMETERS.items():
        if (chosen is None or chosen == short) and (columns := _axes(head, prefix, kind)):
            return columns
    raise NotARecordingError(
        where=where,
        expected=f"{prefix}_{_ACCELEROMETERS[chosen or 'ln']}_X_CAL, Y and Z",
        got=", ".join(name for name in head.names if name.startswith(prefix))[:200],
        remedy="Export the accelerometer, or choose the other one: -o accelerometer=ln or wr.",
    )


def _axes(head: _Head, prefix: str, kind: str) -> list[str]:
    names = [f"{prefix}_{kind}_{axis}_CAL" for axis in "XYZ"]
    return names if set(names) <= set(head.names) else []


def _times(rows: Rows, stamp: str, source: Source) -> tuple[Rows, NDArray[np.int64], Clock, Counter[str]]:
    texts = rows.frame[stamp]
    if "Formatted" in stamp:
        read = texts.str.replace_all("/", "-").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
        rows = rows.keep(read.is_not_null().to_numpy(), "rows without a stamp")
        local = read.drop_nulls().to_physical().to_numpy().astype(np.int64)
        times_us, faults = local_to_utc(local, zones.zone_of(source))
        return rows, times_us, "utc", faults
    counts = texts.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    stamped = np.abs(counts) < _FAR_MS
    rows = rows.keep(stamped, "rows without a stamp")
    times_us = np.round(counts[stamped] * 1000).astype(np.int64)
    return rows, times_us, "utc" if "Unix" in stamp else "device", Counter()


LAYOUT = Layout(
    "shimmer",
    "Shimmer3: calibrated CSV of Consensys",
    _find,
    _read,
    {
        **OPTIONS,
        **zones.OPTIONS,
        "accelerometer": "ln (low noise, ±2 g) or wr (wide range); default: ln if it is there",
    },
    _recognises,
)
