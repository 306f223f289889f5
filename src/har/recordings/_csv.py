"""Read CSV files with polars; a file that polars refuses is read line by line to find the bad line."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MalformedRowError, MissingColumnError, NotARecordingError, RecordingError
from har.recordings._csv_layout import CsvLayout, inspect, not_utf8, wrong_line_ends
from har.recordings._table import Parsed, non_finite, optional_values, wanted_columns
from har.settings import Settings

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_LOOKED_AT = 100


def read_csv(content: bytes, where: str, settings: Settings) -> Parsed:
    """Read the columns that the project needs from a CSV file's bytes; others are ignored.

    Raises:
        RecordingError: the file cannot be used; with the bad line (the header is line 1).
    """
    layout = inspect(content, where)
    try:
        columns = wanted_columns(layout.header, settings, where, line=layout.above)
    except MissingColumnError as error:
        _refuse_lines_above(layout, settings, error)
        raise
    channels = settings.sensors.channels
    frame = _parse(layout, columns, numbers=channels)
    if frame is None or _ragged(layout, frame, columns):
        if not _check_lines(layout, columns, channels):
            raise _header_only(layout)
        # All lines are valid, but some have quoted separators or blanks around numbers: read them as text.
        texts = _parse(layout, columns, numbers=())
        if texts is None:
            raise _unreadable(layout)
        frame = _numbers(layout, texts.with_columns(pl.all().str.strip_chars()), channels)
    return _drop_blank_lines(layout, frame, settings)


def _parse(layout: CsvLayout, columns: dict[str, int], numbers: Sequence[str]) -> pl.DataFrame | None:
    """The needed columns, `numbers` as float64 and the others as text; None if polars refuses a line."""
    names = [f"column_{index}" for index in range(len(layout.header))]  # names in a header may repeat
    types: dict[str, type[pl.DataType]] = dict.fromkeys(names, pl.String)
    for name in numbers:
        types[names[columns[name]]] = pl.Float64
    try:
        frame = pl.read_csv(
            layout.content,
            has_header=False,
            skip_lines=layout.above,
            separator=layout.separator,
            schema=types,
            columns=[names[index] for index in columns.values()],
            raise_if_empty=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return frame.rename({names[index]: name for name, index in columns.items()}).select(list(columns))


def _blank(frame: pl.DataFrame) -> NDArray[np.bool_]:
    """Rows without any value, bool (n,)."""
    if not all(column.null_count() for column in frame):
        return np.zeros(len(frame), np.bool_)
    return frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()


def _ragged(layout: CsvLayout, frame: pl.DataFrame, columns: dict[str, int]) -> bool:
    """Whether rows lack fields (polars fills them with nulls), or a sensor value is empty."""
    blank = _blank(frame)
    needed = [name for name in columns if frame[name].null_count()]
    full = (len(frame) - int(blank.sum())) * (len(layout.header) - 1)
    absent = any(frame[name].null_count() > blank.sum() for name in needed if frame.schema[name] == pl.Float64)
    return layout.separators != full or absent


def _drop_blank_lines(layout: CsvLayout, frame: pl.DataFrame, settings: Settings) -> Parsed:
    blank = _blank(frame)
    lines = _line_numbers(layout, len(frame))
    if blank.any():
        lines, frame = lines[~blank], frame.filter(~blank)
    if not len(frame):
        raise _header_only(layout)
    return Parsed(
        where=layout.where,
        row_word="line",
        lines=lines,
        time=frame[settings.recordings.time_column],
        values=tuple(frame[name] for name in settings.sensors.channels),
        **optional_values(frame, settings),
    )


def _line_numbers(layout: CsvLayout, rows: int) -> NDArray[np.int64]:
    if layout.quotes:  # a quoted field may hold line breaks
        try:
            numbers = np.fromiter((number for number, _ in _rows(layout)), np.int64)
        except csv.Error:
            numbers = np.empty(0, np.int64)
        if len(numbers) == rows:
            return numbers
    return np.arange(layout.above + 1, layout.above + 1 + rows)


def _rows(layout: CsvLayout) -> Iterator[tuple[int, list[str]]]:
    """Each row below the header with the number of its last line."""
    file = io.TextIOWrapper(io.BytesIO(layout.content), encoding="utf-8-sig", newline="")
    for _ in range(layout.above):
        next(file)
    for row in (reader := csv.reader(file, delimiter=layout.separator)):
        yield layout.above + reader.line_num, row


def _check_lines(layout: CsvLayout, columns: dict[str, int], channels: Sequence[str]) -> int:
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
        raise not_utf8(layout.where, _first_undecodable(layout.content)) from error
    except csv.Error as error:
        raise _unreadable(layout) from error
    return rows


def _wrong_width(layout: CsvLayout, line: int, row: list[str]) -> NoReturn:
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
    """Refuse text that is no finite number in ASCII digits, with a decimal point."""
    if not text or _NOT_FINITE.fullmatch(text):
        raise non_finite(where, text, line)
    if not _NUMBER.fullmatch(text):
        raise MalformedRowError(
            where=where, expected="a number", got=repr(text), remedy=_number_remedy(text), line=line
        )
    if not math.isfinite(float(text)):
        raise non_finite(where, text, line)


def _number_remedy(text: str) -> str:
    if "," in text and text.replace(",", "", 1).replace(".", "").lstrip("+-").isdigit():
        return "Write decimals with a point."
    if any(not character.isascii() and character.isnumeric() for character in text):
        return "Write numbers with the digits 0 to 9 and a point: export the file in English, or with another program."
    return "Fix the value, or delete that line."


def _numbers(layout: CsvLayout, texts: pl.DataFrame, channels: Sequence[str]) -> pl.DataFrame:
    """Convert the channels; the lines were checked, so that what polars does not take is named, not raised by it."""
    numbers = texts.with_columns(pl.col(channels).cast(pl.Float64, strict=False))
    for name in channels:
        lost = numbers[name].is_null() & texts[name].is_not_null()
        if lost.any():
            row = int(lost.arg_max() or 0)
            line = int(_line_numbers(layout, len(texts))[row])
            raise MalformedRowError(
                where=f"{layout.where}, line {line}, column {name!r}",
                expected="a number",
                got=repr(texts[name][row]),
                remedy=_number_remedy(str(texts[name][row])),
                line=line,
            )
    return numbers


def _first_undecodable(content: bytes) -> int:
    for number, raw in enumerate(io.BytesIO(content), 1):
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            return number
    return 0


def _refuse_lines_above(layout: CsvLayout, settings: Settings, error: MissingColumnError) -> None:
    """Name the line of the header if there are lines above it, as many devices write them."""
    needed = {settings.recordings.time_column, *settings.sensors.channels}
    file = io.TextIOWrapper(io.BytesIO(layout.content), encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(itertools.islice(file, _LOOKED_AT), 1):
        names = {name.strip().strip('"') for name in re.split(r"[,;\t|]", line)}
        if number > layout.above and needed <= names:
            raise MissingColumnError(
                where=layout.where,
                expected="the names of the columns in line 1",
                got=f"them in line {number}",
                remedy=f"Delete the {number - 1} lines above the names of the columns.",
                line=number,
            ) from error


def _header_only(layout: CsvLayout) -> EmptyRecordingError:
    return EmptyRecordingError(
        where=layout.where,
        expected="rows below the header",
        got="a header only",
        remedy="Export it again.",
        line=layout.above,
    )


def _unreadable(layout: CsvLayout) -> RecordingError:
    if layout.lone_returns:
        return wrong_line_ends(layout.where)
    if not layout.quotes:
        return NotARecordingError(
            where=layout.where, expected="a CSV file", got="lines of no table", remedy="Export it again as CSV."
        )
    return NotARecordingError(
        where=layout.where,
        expected="a CSV file",
        got="unmatched double quotes",
        remedy="Remove the extra double quotes, or export it again.",
    )
