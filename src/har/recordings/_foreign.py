"""Refuse files that are no recordings by their first bytes: Git-LFS pointers, AppleDouble files, other formats."""

from __future__ import annotations

from har.errors import NotARecordingError

_GIT_LFS = b"version https://git-lfs"
_APPLE_DOUBLE = b"\x00\x05\x16\x07"

_AS_CSV = "Save its sheet as CSV in UTF-8, and put that file into the inbox."
_OTHERS = {
    b"PAR1": ("a Parquet file", "Rename it to .parquet."),
    b"PK\x03\x04": ("a binary file: an Excel workbook or a ZIP archive", f"{_AS_CSV[:-1]}; unpack an archive first."),
    b"\xd0\xcf\x11\xe0": ("a binary file: an old Excel workbook", _AS_CSV),
    b"\x1f\x8b": ("a gzip archive", "Unpack it first."),
}

HEAD_BYTES = len(_GIT_LFS)
"""How many bytes of a file `refuse_foreign` needs."""


def refuse_foreign(head: bytes, where: str, *, line: int = 1) -> None:
    """Refuse a Git-LFS pointer or an AppleDouble file.

    Args:
        head: the first bytes of the file.
        where: the file, as messages name it.
        line: the line that a pointer is reported on, 0 for formats without lines.

    Raises:
        NotARecordingError: the file is one of the two.
    """
    if head.startswith(_GIT_LFS):
        raise NotARecordingError.git_lfs_pointer(where, line=line)
    if head.startswith(_APPLE_DOUBLE):
        raise NotARecordingError.apple_double(where)


def refuse_other_format(head: bytes, where: str) -> None:
    """Refuse a file named .csv that is of another common format.

    Raises:
        NotARecordingError: it is; with what to do.
    """
    for magic, (what, remedy) in _OTHERS.items():
        if head.startswith(magic):
            raise NotARecordingError(where=where, expected="text, as the name ends in .csv", got=what, remedy=remedy)
