"""Any CSV files: options name columns and units; subject, session and activity come from columns or the path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._tables import columns
from har.recordings.layouts._tables import format as text_format
from har.recordings.layouts._tables.columns import Columns
from har.recordings.layouts._tables.format import TextFormat, open_text
from har.recordings.layouts._tables.generic import recordings
from har.recordings.layouts._tables.text import Rows, row_blocks


def _find(source: Source) -> list[Path]:
    mapping = Columns.of(source)  # reports an invalid option before any file is read
    TextFormat.of(source.options)
    files = source.files("*.csv", "*.txt", "*.tsv")
    return mapping.choose(files)


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    form = TextFormat.of(source.options)

    def read(file: Path, numbers: Sequence[str], further: Callable[[Sequence[str]], list[str]]) -> Iterable[Rows]:
        text = open_text(file, str(file), form)
        return row_blocks(text, numbers, further(text.columns))

    yield from recordings(path, source, Columns.of(source), read)


LAYOUT = Layout(
    "csv", "any CSV files, columns and units by option", _find, _read, {**columns.OPTIONS, **text_format.OPTIONS}
)
