"""Parquet files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from har.errors import EmptyRecordingError, MalformedRowError, NotARecordingError
from har.recordings._table import Parsed, optional_values, wanted_columns
from har.settings import Settings

_LFS = b"version https://git-lfs"


def read_parquet(path: Path, where: str, settings: Settings) -> Parsed:
    """Read the wanted columns of a Parquet file; others are ignored.

    Raises:
        RecordingError: what is wrong, with its one-based row.
    """
    with path.open("rb") as file:
        head = file.read(len(_LFS))
        file.seek(0, 2)
        size = file.tell()
    if not size:
        raise EmptyRecordingError(
            where=where, expected="a table of samples", got="an empty file", remedy="Export or upload it again."
        )
    if head == _LFS:
        raise _not_parquet(where, "a Git-LFS pointer to one", "Run `git lfs pull` where the file came from.")
    try:
        header = list(pl.read_parquet_schema(path))
        columns = wanted_columns(header, settings, where)
        frame = pl.read_parquet(path, columns=list(columns), use_pyarrow=False)
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
        raise _not_parquet(
            where, str(error).splitlines()[0][:200], "Export or upload it again: it is damaged."
        ) from error
    if not len(frame):
        raise EmptyRecordingError(where=where, expected="rows", got="a table without any", remedy="Export it again.")
    for name in settings.sensors.channels:
        if not frame.schema[name].is_numeric():
            raise MalformedRowError(
                where=f"{where}, column {name!r}",
                expected="numbers",
                got=f"{frame.schema[name]}",
                remedy="Write the column as float32 or float64.",
                line=1,
            )
    return Parsed(
        where=where,
        row_word="row",
        lines=np.arange(1, len(frame) + 1),
        time=frame[settings.recordings.time_column],
        values=tuple(frame[name].cast(pl.Float64) for name in settings.sensors.channels),
        **optional_values(frame, settings),
    )


def _not_parquet(where: str, got: str, remedy: str) -> NotARecordingError:
    return NotARecordingError(where=where, expected="a Parquet file", got=got, remedy=remedy)
