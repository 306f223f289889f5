"""The tables of one recording of the app Sensor Logger, whether they are CSV files or rows of one JSON file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MissingColumnError, NotARecordingError, reason
from har.recordings.layouts._held.bundle import Bundle, read_entry
from har.recordings.layouts._held.series import Series, to_micros, whole_numbers
from har.recordings.layouts._tables.text import Rows, number_rows, text_rows

MOST_JSON = 1 << 30
_MOST_METADATA = 1 << 20
_VALUES = (
    *("x", "y", "z"),
    *(f"{kind}{axis}" for kind in ("acceleration", "gravity", "rotationRate") for axis in "XYZ"),
)


class Tables(Protocol):
    """The tables of a recording.

    Attributes:
        where: the file, as messages name it.
        names: of the sensors, in lower case without blanks.
        metadata: the phone's, by column.
    """

    @property
    def where(self) -> str: ...
    @property
    def names(self) -> Collection[str]: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...
    def series(self, name: str, columns: Sequence[str], unit: str) -> Series:
        """The samples of a sensor.

        Raises:
            RecordingError: its table has no such columns, or no complete row.
        """
        ...

    def annotations(self) -> tuple[NDArray[np.int64], list[str]]:
        """The stamps of the annotations, int64 µs, increasing, and their texts; none if there are none."""
        ...


@dataclass(frozen=True)
class CsvTables:
    """A file for each sensor."""

    bundle: Bundle

    @property
    def where(self) -> str:
        return self.bundle.where

    @cached_property
    def names(self) -> Collection[str]:
        return {name.removesuffix(".csv") for name in self.bundle.entries if name.endswith(".csv")}

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        if "metadata" not in self.names:
            return {}
        text = read_entry(self.bundle.entry("metadata.csv"), _MOST_METADATA)
        try:
            frame = pl.read_csv(text, infer_schema=False, n_rows=1, truncate_ragged_lines=True)
        except pl.exceptions.PolarsError:
            return {}  # where the platform matters, its absence is refused
        return {name.strip(): value or "" for name, value in frame.row(0, named=True).items()} if len(frame) else {}

    def series(self, name: str, columns: Sequence[str], unit: str) -> Series:
        file = f"{name}.csv"
        rows = text_rows(
            self.bundle.entry(file), self.bundle.place(file), numbers=columns, texts=["time"], separator=","
        )
        return _series(rows, columns, unit)

    def annotations(self) -> tuple[NDArray[np.int64], list[str]]:
        if "annotation" not in self.names:
            return np.empty(0, np.int64), []
        place = self.bundle.place("annotation.csv")
        rows = text_rows(
            self.bundle.entry("annotation.csv"),
            place,
            numbers=["seconds_elapsed"],
            texts=["time", "text"],
            separator=",",
        )
        rows, stamps = whole_numbers(rows, "time")
        return _in_order(to_micros(stamps), rows.frame["text"].fill_null("").to_list())


class _Row(msgspec.Struct, gc=False):
    """A row of the JSON file; values are text, or numbers in old versions."""

    sensor: str = ""
    time: str | int | float | None = None
    x: str | float | None = None
    y: str | float | None = None
    z: str | float | None = None
    accelerationX: str | float | None = None  # noqa: N815
    accelerationY: str | float | None = None  # noqa: N815
    accelerationZ: str | float | None = None  # noqa: N815
    gravityX: str | float | None = None  # noqa: N815
    gravityY: str | float | None = None  # noqa: N815
    gravityZ: str | float | None = None  # noqa: N815
    rotationRateX: str | float | None = None  # noqa: N815
    rotationRateY: str | float | None = None  # noqa: N815
    rotationRateZ: str | float | None = None  # noqa: N815
    text: str | None = None
    platform: str | None = None
    standardisation: str | bool | None = None


@dataclass(frozen=True)
class JsonTables:
    """One file with the rows of all sensors."""

    where: str
    rows: Mapping[str, list[_Row]]

    @classmethod
    def of(cls, path: Path) -> JsonTables:
        """Read a file.

        Raises:
            NotARecordingError: it is no such JSON, or is larger than memory may hold.
        """
        where = str(path)
        if path.stat().st_size > MOST_JSON:
            raise NotARecordingError(
                where=where,
                expected=f"at most {MOST_JSON >> 20:,} MB of JSON, which has to be read at once",
                got=f"{path.stat().st_size:,} bytes",
                remedy="Export the recording as zip, which is read in parts.",
            )
        try:
            read = msgspec.json.decode(path.read_bytes(), type=list[_Row])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotARecordingError(
                where=where,
                expected="a list of rows, each with sensor, time and values",
                got=reason(error),
                remedy="If the file was cut short, export it again; if another app wrote it, `har import auto` tells "
                "which layout it has.",
            ) from error
        rows: defaultdict[str, list[_Row]] = defaultdict(list)
        for row in read:
            rows[row.sensor.replace(" ", "").lower()].append(row)
        return cls(where, rows)

    @property
    def names(self) -> Collection[str]:
        return self.rows

    @property
    def metadata(self) -> Mapping[str, str]:
        for row in self.rows.get("metadata", []):
            return {
                "platform": row.platform or "",
                "standardisation": "" if row.standardisation is None else str(row.standardisation),
            }
        return {}

    def series(self, name: str, columns: Sequence[str], unit: str) -> Series:
        where, rows = f"{self.where}, {name}", self.rows[name]
        if not rows:
            raise EmptyRecordingError.no_rows(where)
        frame = pl.DataFrame(
            {column: [_text(getattr(row, column)) for row in rows] for column in ("time", *columns)},
            schema=dict.fromkeys(("time", *columns), pl.String),
        )
        for column in columns:
            if frame[column].null_count() == len(frame):
                raise MissingColumnError.of(where, column, [one for one in _VALUES if _any(rows, one)], _UPDATE)
        return _series(number_rows(where, frame, columns), columns, unit)

    def annotations(self) -> tuple[NDArray[np.int64], list[str]]:
        marks = self.rows.get("annotation", [])
        stamps = pl.Series([_text(row.time) for row in marks], dtype=pl.String).cast(pl.Int64, strict=False)
        texts = [row.text or "" for row, known in zip(marks, stamps.is_not_null(), strict=True) if known]
        return _in_order(to_micros(stamps.drop_nulls().to_numpy().astype(np.int64)), texts)


_UPDATE = "Update the app, and export the recording again; the handbook names the version of its format that is read."


def _any(rows: Sequence[_Row], column: str) -> bool:
    return any(getattr(row, column) is not None for row in rows)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _series(rows: Rows, columns: Sequence[str], unit: str) -> Series:
    rows, stamps = whole_numbers(rows, "time")
    if not len(stamps):
        raise EmptyRecordingError(
            where=rows.where,
            expected="stamps in the column time, in ns since 1970",
            got="none",
            remedy="Export the recording again.",
        )
    return Series(to_micros(stamps), rows.xyz(columns), unit, Counter(rows.faults))


def _in_order(times_us: NDArray[np.int64], texts: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    order = np.argsort(times_us, kind="stable")
    return times_us[order], [texts[index] for index in order]
