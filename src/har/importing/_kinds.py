"""Refuse files of another kind by their first bytes: archives, spreadsheets, and what another layout reads."""

from __future__ import annotations

from pathlib import Path

from har.errors import EmptyRecordingError, NotARecordingError
from har.recordings._foreign import refuse_foreign

_UNPACK = "Unpack it, and import the folder; archives are not opened, whatever size they claim."
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
_LAYOUTS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PAR1", "a Parquet file", "parquet"),
    (8, b".FIT", "a FIT file", "garmin-fit"),
    (0, b"MD\xfc\x03", "an Axivity .cwa file", "axivity"),
    (0, b"Device Identity", "a GENEActiv .bin file", "geneactiv"),
)
SUFFIXES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "export each sheet as CSV"),
    **dict.fromkeys((".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z", ".rar"), "unpack first"),
    **dict.fromkeys((".csv", ".tsv"), "see `har import csv`"),
    ".parquet": "see `har import parquet`",
    ".fit": "see `har import garmin-fit`",
    ".gt3x": "see `har import actigraph`",
    ".cwa": "see `har import axivity`",
    ".bin": "see `har import geneactiv`",
}
"""What to do about files that were passed over, by the end of their names."""


def refuse_other_kinds(path: Path, layout: str) -> None:
    """Raise for an empty file, an archive, a spreadsheet, and a file that another layout reads; folders pass.

    Archives are never unpacked, so none can fill the disk or the memory, or name a path outside.

    Raises:
        EmptyRecordingError: no bytes, or white space only.
        NotARecordingError: another kind of file.
        OSError: it cannot be read.
    """
    if path.is_dir():
        return
    where = str(path)
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip():
        raise EmptyRecordingError.no_bytes(where)
    refuse_foreign(head, where)
    if head.startswith(b"PK\x03\x04") and layout != "actigraph":
        raise _zip(where, head)
    for start, magic, what, remedy in _MAGIC:
        if head[start:].startswith(magic):
            raise _other(where, what, remedy)
    for start, magic, what, name in _LAYOUTS:
        if head[start:].startswith(magic) and name != layout and layout in ("csv", "parquet", "garmin-fit"):
            raise _other(where, what, f"Import it with `har import {name}`.")


def _zip(where: str, head: bytes) -> NotARecordingError:
    if b"[Content_Types].xml" in head or b"xl/" in head:
        return _other(where, "an Excel workbook (.xlsx), or another Office file", _AS_CSV)
    if b"mimetypeapplication/vnd.oasis" in head:
        return _other(where, "an OpenDocument file (.ods)", _AS_CSV)
    if b"log.bin" in head or b"info.txt" in head:
        return _other(where, "an ActiGraph .gt3x file", "Import it with `har import actigraph`.")
    return _other(where, "a zip archive", _UNPACK)


def _other(where: str, got: str, remedy: str) -> NotARecordingError:
    return NotARecordingError(where=where, expected="a recording", got=got, remedy=remedy)
