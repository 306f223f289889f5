"""Refuse files of another kind by their first bytes: archives, spreadsheets, and what another layout reads."""

from __future__ import annotations

from pathlib import Path

from har.errors import EmptyRecordingError, NotARecordingError
from har.importing._exports import export_of
from har.recordings._foreign import refuse_foreign
from har.recordings.layouts import Layout
from har.recordings.layouts._look import Look
from har.recordings.layouts._recognise import MAGIC, recognised

_UNPACK = "Unpack it, and import the folder; archives of unknown apps are not opened, whatever size they claim."
_AS_CSV = "Export its sheet as CSV (in a spreadsheet: Save as, CSV UTF-8), and import that file."
_EXPORT = "Export the recordings as CSV or Parquet."
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls), or another old Office file", _AS_CSV),
    (0, b"%PDF-", "a PDF", _EXPORT),
    (0, b"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, or MATLAB's", _EXPORT),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file", _EXPORT),
    (0, b"\x93NUMPY", "a NumPy file", _EXPORT),
    (0, b"ARROW1", "an Arrow file", _EXPORT),
    (0, b"\x80\x04", "a Python pickle, which is never opened", _EXPORT),
    (0, b"\x80\x05", "a Python pickle, which is never opened", _EXPORT),
)
_TABLES = ("csv", "parquet", "garmin-fit")
SUFFIXES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "export each sheet as CSV"),
    **dict.fromkeys((".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z", ".rar"), "unpack first"),
    ".zip": "`har import auto` reads those of known apps; unpack others first",
    **dict.fromkeys((".csv", ".tsv"), "see `har import csv`"),
    ".parquet": "see `har import parquet`",
    ".fit": "see `har import garmin-fit`",
    ".gt3x": "see `har import actigraph`",
    ".cwa": "see `har import axivity`",
    ".bin": "see `har import geneactiv`",
    ".avro": "see `har import embrace-plus`",
}
"""What to do about files that were passed over, by the end of their names."""


def refuse_other_kinds(path: Path, layout: Layout) -> None:
    """Raise for an empty file, an archive, a spreadsheet, an export of a health app, and what another layout reads.

    Folders pass. So do archives, if the layout reads them where they are; others are never opened, so that none can
    fill the disk or the memory, or name a path outside. Text passes the reader `csv`: options may make it readable.

    Raises:
        EmptyRecordingError: no bytes, or white space only.
        NotARecordingError: another kind of file.
        OSError: it cannot be read.
    """
    if path.is_dir():
        return
    where = str(path)
    look = Look.of(path)
    if not look.head.strip():
        raise EmptyRecordingError.no_bytes(where)
    refuse_foreign(look.head, where)
    right = right_layout(look, layout)
    if right is None and (export := export_of(look)) is not None:
        raise export.error(where)
    if look.is_archive and not layout.archives and right != layout.name:
        raise _zip(where, look.head) if right is None else _belongs(where, right)
    strict = layout.recognises is not None or (layout.name in _TABLES and b"\0" in look.head)
    if strict and right not in (None, layout.name):
        raise _belongs(where, right)
    for start, magic, what, remedy in _MAGIC:
        if look.head[start:].startswith(magic):
            raise _other(where, what, remedy)


def right_layout(look: Look, layout: Layout) -> str | None:
    """The layout that a file is of: `layout` if that recognises it, else the first that does; None if none does."""
    if layout.recognises is not None and layout.recognises(look):
        return layout.name
    found = recognised(look)
    return None if found is None else found.name


def hint(path: Path, layout: Layout) -> str:
    """A sentence that names the right layout of a file that a reader has refused; "" if none is known."""
    try:
        look = Look.of(path)
    except OSError:
        return ""
    right = right_layout(look, layout)
    if right is None or right == layout.name or layout.name == "auto":
        return ""
    return f"It looks like {_called(right)}: try `har import {right}`."


def _called(layout: str) -> str:
    return next((what for _, _, what, name in MAGIC if name == layout), f"a file of the layout {layout}")


def _belongs(where: str, layout: str | None) -> NotARecordingError:
    return _other(where, _called(layout or ""), f"Import it with `har import {layout}`.")


def _zip(where: str, head: bytes) -> NotARecordingError:
    if b"[Content_Types].xml" in head or b"xl/" in head:
        return _other(where, "an Excel workbook (.xlsx), or another Office file", _AS_CSV)
    if b"mimetypeapplication/vnd.oasis" in head:
        return _other(where, "an OpenDocument file (.ods)", _AS_CSV)
    return _other(where, "a zip archive", _UNPACK)


def _other(where: str, got: str, remedy: str) -> NotARecordingError:
    return NotARecordingError(where=where, expected="a recording", got=got, remedy=remedy)
