"""Read CSV files with polars; a file that polars refuses is read line by line to find the bad line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MalformedRowError, NotARecordingError, RecordingError
from har.recordings._foreign import refuse_foreign
from har.recordings._table import Parsed, non_finite, optional_values, wanted_columns
from har.settings import Settings

_BLOCK = 1 << 20
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class _Layout:
    """The format of one file, from a first pass over its bytes."""

    where: str
    path: Path
    separator: str
    header: tuple[str, ...]
    separators: int
    quotes: int


def read_csv(path: Path, where: str, settings: Settings) -> Parsed:
    """Read the columns that the project needs from a CSV file; others are ignored.

    Raises:
        RecordingError: the file cannot be used; with the bad line (the header is line 1).
    """
    layout = _inspect(path, where)
    columns = wanted_columns(layout.header, settings, where)
    channels = settings.sensors.channels
    frame = _parse(layout, columns, numbers=channels)
    if frame is None or _ragged(layout, frame, columns):
        if not _check_lines(layout, columns, channels):
            raise _header_only(where)
        # All lines are valid, but some have quoted separators or blanks around numbers: read them as text.
        texts = _parse(layout, columns, numbers=())
        if texts is None:
            raise _unreadable(where)
        frame = texts.with_columns(pl.all().str.strip_chars()).with_columns(pl.col(channels).cast(pl.Float64))
    return _drop_blank_lines(layout, frame, settings)


def _inspect(path: Path, where: str) -> _Layout:
    counts = dict.fromkeys((b",", b";", b'"', b"\n", b"\x00"), 0)
    with path.open("rb") as file:
        head = file.readline(_HEADER_BYTES)
        block = head
        while block:
            for mark in counts:
                counts[mark] += block.count(mark)
            block = file.read(_BLOCK)
    _refuse_binary(head, counts[b"\x00"], where)
    try:
        line = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(where, 1) from error
    separator = ";" if line.count(";") > line.count(",") else ","
    header = tuple(name.strip() for name in next(csv.reader([line], delimiter=separator)))
    mark = separator.encode()
    return _Layout(where, path, separator, header, counts[mark] - head.count(mark), counts[b'"'])


def _refuse_binary(head: bytes, zeros: int, where: str) -> None:
    if not head.strip():
        raise EmptyRecordingError.no_bytes(where)
    refuse_foreign(head, where)
    if zeros:
        raise NotARecordingError(
            where=where,
            expected="UTF-8 text with one sample per line",
            got="binary content (zero bytes)",
            remedy="Export the recording as UTF-8 CSV; rename it to .parquet if it is a Parquet file.",
        )


def _parse(layout: _Layout, columns: dict[str, int], numbers: Sequence[str]) -> pl.DataFrame | None:
    """The needed columns, `numbers` as float64 and the others as text; None if polars refuses a line."""
    names = [f"column_{index}" for index in range(len(layout.header))]  # names in a header may repeat
    types: dict[str, type[pl.DataType]] = dict.fromkeys(names, pl.String)
    for name in numbers:
        types[names[columns[name]]] = pl.Float64
    try:
        frame = pl.read_csv(
            layout.path,
            glob=False,
            has_header=False,
            skip_lines=1,
            separator=layout.separator,
            schema=types,
            columns=[names[index] for index in columns.values()],
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError:
        return None
    return frame.rename({names[index]: name for name, index in columns.items()}).select(list(columns))


def _blank(frame: pl.DataFrame) -> NDArray[np.bool_]:
    return frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()


def _ragged(layout: _Layout, frame: pl.DataFrame, columns: dict[str, int]) -> bool:
    """Whether rows lack fields (polars fills them with nulls), or a sensor value is empty."""
    blank = _blank(frame)
    needed = [name for name in columns if frame[name].null_count()]
    full = (len(frame) - int(blank.sum())) * (len(layout.header) - 1)
    absent = any(frame[name].null_count() > blank.sum() for name in needed if frame.schema[name] == pl.Float64)
    return layout.separators != full or absent


def _drop_blank_lines(layout: _Layout, frame: pl.DataFrame, settings: Settings) -> Parsed:
    filled = ~_blank(frame)
    lines = _line_numbers(layout, len(frame))[filled]
    frame = frame.filter(filled)
    if not len(frame):
        raise _header_only(layout.where)
    return Parsed(
        where=layout.where,
        row_word="line",
        lines=lines,
        time=frame[settings.recordings.time_column],
        values=tuple(frame[name] for name in settings.sensors.channels),
        **optional_values(frame, settings),
    )


def _line_numbers(layout: _Layout, rows: int) -> NDArray[np.int64]:
    if layout.quotes:  # a quoted field may hold line breaks
        numbers = np.fromiter((number for number, _ in _rows(layout)), np.int64)
        if len(numbers) == rows:
            return numbers
    return np.arange(2, rows + 2)


def _rows(layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """Each row below the header with the number of its last line."""
    with layout.path.open("r", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=layout.separator)
        next(reader)
        for row in reader:
            yield reader.line_num, row


def _check_lines(layout: _Layout, columns: dict[str, int], channels: Sequence[str]) -> int:
    """Count the rows; raise at the first bad line."""
    width = len(layout.header)
    rows = 0
    try:
        for line, row in _rows(layout):
            if not row:
                continue
            rows += 1
            if len(row) != width:
                _wrong_width(layout, line, row)
            for name in channels:
                _check_number(row[columns[name]].strip(), f"{layout.where}, line {line}, column {name!r}", line)
    except UnicodeDecodeError as error:
        raise _not_utf8(layout.where, _first_undecodable(layout.path)) from error
    except csv.Error as error:
        raise _unreadable(layout.where) from error
    return rows


def _wrong_width(layout: _Layout, line: int, row: list[str]) -> NoReturn:
    width = len(layout.header)
    where = f"{layout.where}, line {line}"
    if len(row) < width:
        remedy = "The row is cut short: delete that line and put the file back into the inbox."
    elif not "".join(row[width:]).strip():
        remedy = f"Remove the {layout.separator!r} at the end of the line."
    else:
        remedy = "Quote the field that contains a separator, or remove the extra fields."
    raise MalformedRowError(
        where=where, expected=f"{width} fields, as in the header", got=f"{len(row)}", remedy=remedy, line=line
    )


def _check_number(text: str, where: str, line: int) -> None:
    try:
        if "_" in text:  # Python's float accepts 1_000
            raise ValueError(text)
        value = float(text) if text else math.nan
    except ValueError as error:
        comma = "," in text and text.replace(",", "", 1).replace(".", "").lstrip("+-").isdigit()
        raise MalformedRowError(
            where=where,
            expected="a number",
            got=repr(text),
            remedy="Write decimals with a point." if comma else "Fix the value, or delete that line.",
            line=line,
        ) from error
    if not math.isfinite(value):
        raise non_finite(where, text, line)


def _first_undecodable(path: Path) -> int:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0


def _header_only(where: str) -> EmptyRecordingError:
    return EmptyRecordingError(
        where=where, expected="rows below the header", got="a header only", remedy="Export it again.", line=1
    )


def _not_utf8(where: str, line: int) -> NotARecordingError:
    return NotARecordingError(
        where=f"{where}, line {line}",
        expected="UTF-8 text",
        got="bytes of another encoding",
        remedy="Save the file as UTF-8.",
        line=line,
    )


def _unreadable(where: str) -> RecordingError:
    return NotARecordingError(
        where=where,
        expected="a CSV file",
        got="unmatched double quotes",
        remedy="Remove the extra double quotes, or export it again.",
    )
