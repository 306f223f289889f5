"""Refuse files that are no recordings by their first bytes: Git-LFS pointers and AppleDouble files."""

from __future__ import annotations

from har.errors import NotARecordingError

_GIT_LFS = b"version https://git-lfs"
_APPLE_DOUBLE = b"\x00\x05\x16\x07"

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
