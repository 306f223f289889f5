"""Any Parquet files: options name columns and units; subject, session and activity come from columns or the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from har.errors import EmptyRecordingError, MissingColumnError, NotARecordingError
from har.recordings.layouts._generic import OPTIONS, Columns, recordings
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._text import number_rows


def _find(source: Source) -> list[Path]:
    Columns.of(source)  # reports an invalid option before any file is read
    return source.files("*.parquet")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    mapping = Columns.of(source)
    try:
        header = pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema().names()
        wanted = [*dict.fromkeys([*mapping.channels, *mapping.texts(header)])]
        for name in wanted:
            if name not in header:
                raise MissingColumnError.of(
                    str(path), name, header, "Name the columns with options: see `har import --list`."
                )
        frame = pl.read_parquet(path, columns=wanted, glob=False, hive_partitioning=False)
    except pl.exceptions.PolarsError as error:
        raise NotARecordingError.damaged_parquet(str(path), error) from error
    if not len(frame):
        raise EmptyRecordingError.no_rows(str(path))
    rows = number_rows(str(path), frame, mapping.channels)
    if mapping.time:
        rows = rows.keep(rows.frame[mapping.time].is_not_null().to_numpy(), "rows without a stamp")
    yield from recordings(path, source, rows, mapping)


LAYOUT = Layout("parquet", "any Parquet files, columns and units by option", _find, _read, OPTIONS)
