"""Any Parquet files: options name columns and units; subject, session and activity come from columns or the path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from har.errors import EmptyRecordingError, MalformedRowError, NotARecordingError
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._tables.columns import OPTIONS, Columns
from har.recordings.layouts._tables.generic import recordings
from har.recordings.layouts._tables.text import Rows, column_positions, finite_rows, no_numbers

_BLOCK_ROWS = 250_000
_LEAST_BYTES = 1
"""Of a file per row: noise of three axes takes more, however it is compressed."""


def _find(source: Source) -> list[Path]:
    mapping = Columns.of(source)  # reports an invalid option before any file is read
    files = source.files("*.parquet")
    return mapping.choose(files)


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    yield from recordings(path, source, Columns.of(source), _blocks)


def _blocks(path: Path, numbers: Sequence[str], further: Callable[[Sequence[str]], list[str]]) -> Iterable[Rows]:
    where = str(path)
    try:
        header = pl.read_parquet_schema(path)
        columns = [*column_positions(list(header), [*numbers, *further(list(header))], where)]
        table = pl.scan_parquet(path)
        count = table.select(pl.len()).collect().item()
        _refuse_bomb(path, count)
        complete, first_row = False, ()
        for first in range(0, count, _BLOCK_ROWS):
            frame = table.slice(first, _BLOCK_ROWS).select(columns).collect(engine="streaming")
            _refuse_texts(where, frame, numbers)
            first_row = first_row or frame.select(numbers).row(0)
            cast, finite, lost = finite_rows(frame, numbers)
            complete |= bool(finite.any())
            yield Rows(where, cast.filter(finite), first + np.flatnonzero(finite), lost, 1)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise NotARecordingError.damaged_parquet(where, error) from error
    if not count:
        raise EmptyRecordingError.no_rows(where)
    if not complete:
        raise no_numbers(where, numbers, first_row, 1)


def _refuse_bomb(path: Path, rows: int) -> None:
    """Refuse a file that is small and would fill the memory: as many rows as it says cannot be in so few bytes."""
    size = path.stat().st_size
    if rows > 4 * _BLOCK_ROWS and size < rows * _LEAST_BYTES:
        raise NotARecordingError(
            where=str(path),
            expected=f"at least {_LEAST_BYTES} byte per row of a recording",
            got=f"{rows:,} rows in {size:,} bytes",
            remedy="The values do not change, or the file is damaged: export it again.",
        )


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
