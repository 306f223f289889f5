"""Files of apps and devices whose layout shows by their names and beginnings; each is read by its own reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from har.errors import NotARecordingError
from har.recordings.layouts import _recognise
from har.recordings.layouts._held.identity import OPTIONS
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._look import Look


def _find(source: Source) -> list[Path]:
    found: dict[Path, None] = {}
    for layout in _recognise.recognisers():
        for path in layout.find(source):
            if path.name.startswith("._") or _recognise.recognised(Look.of(path)) is layout:
                found.setdefault(path)
    if source.path.is_file() and not found:
        return [source.path]  # its refusal says more than that nothing was found
    return sorted(found)


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    layout = _recognise.recognised(Look.of(path))
    if layout is None or layout not in _recognise.recognisers():
        known = ", ".join(one.name for one in _recognise.recognisers())
        raise NotARecordingError(
            where=str(path),
            expected=f"a file of one of the layouts {known}",
            got="another kind of file",
            remedy="A table of any kind is read by `har import csv` or `har import parquet`, which guess the options.",
        )
    yield from layout.read(path, source)


LAYOUT = Layout(
    "auto", "files of apps and devices, each by the reader that recognises it", _find, _read, OPTIONS, archives=True
)
