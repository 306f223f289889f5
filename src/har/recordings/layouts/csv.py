"""Any CSV files: options name columns and units; subject, session and activity come from columns or the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from har.recordings.layouts._generic import OPTIONS, Columns, recordings
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._text import header_of, text_rows


def _find(source: Source) -> list[Path]:
    Columns.of(source)  # reports an invalid option before any file is read
    return source.files("*.csv", "*.txt")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    mapping = Columns.of(source)
    header = header_of(path)
    rows = text_rows(path, str(path), numbers=mapping.channels, texts=mapping.texts(header))
    if mapping.time:
        rows = rows.keep(rows.frame[mapping.time].is_not_null().to_numpy(), "rows without a stamp")
    yield from recordings(path, source, rows, mapping)


LAYOUT = Layout("csv", "any CSV files, columns and units by option", _find, _read, OPTIONS)
