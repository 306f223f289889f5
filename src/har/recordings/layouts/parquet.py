"""Any Parquet files: columns, units and stamps by option, subject, session and activity from columns or the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from har.errors import EmptyRecordingError, MissingColumnError, NotARecordingError
from har.recordings.layouts._generic import OPTIONS, Columns, recordings
from har.recordings.layouts._layout import Found, Layout, Source
from har.recordings.layouts._text import number_rows


def _find(source: Source) -> list[Path]:
    Columns.of(source)  # an option that cannot be is told before any file is read
    return source.files("*.parquet")


def _read(path: Path, source: Source) -> Iterator[Found]:
    mapping = Columns.of(source)
    try:
        header = list(pl.read_parquet_schema(path))
        wanted = [*dict.fromkeys([*mapping.channels, *mapping.texts(header)])]
        for name in wanted:
            if name not in header:
                raise MissingColumnError(
                    where=str(path),
                    expected=f"a column {name!r}",
                    got=f"the columns {', '.join(header[:30])}",
                    remedy="Name the columns by option: `har import --list` says how.",
                )
        frame = pl.read_parquet(path, columns=wanted)
    except pl.exceptions.PolarsError as error:
        raise NotARecordingError(
            where=str(path),
            expected="a Parquet file",
            got=str(error).splitlines()[0][:200],
            remedy="Export or copy it again: it is damaged.",
        ) from error
    if not len(frame):
        raise EmptyRecordingError(
            where=str(path), expected="rows", got="a table without any", remedy="Export it again."
        )
    rows = number_rows(str(path), frame, mapping.channels)
    if mapping.time:
        rows = rows.keep(rows.frame[mapping.time].is_not_null().to_numpy(), "rows without a stamp")
    yield from recordings(path, source, rows, mapping)


LAYOUT = Layout("parquet", "any Parquet files, columns and units by option", _find, _read, OPTIONS)
