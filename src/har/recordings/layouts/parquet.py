"""Any Parquet files: options name columns and units; subject, session and activity come from columns or the path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from har.errors import EmptyRecordingError, MalformedRowError
from har.parquet import check_parquet
from har.recordings._parquet import opened_parquet
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._tables.columns import OPTIONS, Columns
from har.recordings.layouts._tables.generic import recordings
from har.recordings.layouts._tables.text import Rows, column_positions, finite_rows, no_numbers

_BLOCK_ROWS = 250_000


def _find(source: Source) -> list[Path]:
    mapping = Columns.of(source)  # reports an invalid option before any file is read
    files = source.files("*.parquet")
    return mapping.choose(files)


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    yield from recordings(path, source, Columns.of(source), _blocks)


def _blocks(path: Path, numbers: Sequence[str], further: Callable[[Sequence[str]], list[str]]) -> Iterable[Rows]:
    where = str(path)
    with opened_parquet(path, where) as file:
        columns = [*column_positions(file.header, [*numbers, *further(file.header)], where)]
        check_parquet(path, columns, where=where, row_groups_at_once=0)
        complete, first_row, first = False, (), 0
        for frame in file.blocks(columns, _BLOCK_ROWS):
            _refuse_texts(where, frame, numbers)
            if not len(frame):
                continue
            first_row = first_row or frame.select(numbers).row(0)
            cast, finite, lost = finite_rows(frame, numbers)
            complete |= bool(finite.any())
            yield Rows(where, cast.filter(finite), first + np.flatnonzero(finite), lost, 1)
            first += len(frame)
    if not first:
        raise EmptyRecordingError.no_rows(where)
    if not complete:
        raise no_numbers(where, numbers, first_row, 1)


def _refuse_texts(where: str, frame: pl.DataFrame, numbers: Sequence[str]) -> None:
    for name in numbers:
        if frame.schema[name].is_nested() or isinstance(frame.schema[name], (pl.Datetime, pl.Boolean, pl.Binary)):
            raise MalformedRowError(
                where=f"{where}, column {name!r}",
                expected="numbers",
                got=str(frame.schema[name]),
                remedy="Name another column, or write this one as float64.",
            )


LAYOUT = Layout("parquet", "any Parquet files, columns and units by option", _find, _read, OPTIONS)
