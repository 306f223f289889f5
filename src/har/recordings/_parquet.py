"""Read Parquet files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from har.errors import EmptyRecordingError, MalformedRowError, NotARecordingError
from har.recordings._foreign import HEAD_BYTES, refuse_foreign
from har.recordings._table import Parsed, optional_values, wanted_columns
from har.settings import Settings


def read_parquet(path: Path, where: str, settings: Settings) -> Parsed:
    """Read the columns that the project needs from a Parquet file; others are ignored.

    Raises:
        RecordingError: the file cannot be used; with the bad row, counted from 1.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0, 2)
        size = file.tell()
    if not size:
        raise EmptyRecordingError.no_bytes(where)
    refuse_foreign(head, where, line=0)
    try:
        header = pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema().names()
        columns = wanted_columns(header, settings, where)
        frame = pl.read_parquet(path, columns=list(columns), glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
        raise NotARecordingError.damaged_parquet(where, error) from error
    if not len(frame):
        raise EmptyRecordingError.no_rows(where)
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
