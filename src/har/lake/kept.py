"""Derived rows in a file of their own: a CRC-32, then an Arrow file. A damaged one, or another release's, has none."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from har.errors import StorageError
from har.files import write_atomically

_CHECK_BYTES = 8


def keep(path: Path, rows: pl.DataFrame) -> None:
    """Replace the file; without the right to write or room on the disk, the rows are derived anew each time."""
    buffer = io.BytesIO()
    rows.write_ipc(buffer, compat_level=pl.CompatLevel.newest())
    content = buffer.getvalue()
    try:
        write_atomically(path, _check(content) + content)
    except StorageError:
        return


def read_kept(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """The rows of the file; none where it is missing, damaged or has other columns."""
    nothing = pl.DataFrame(schema=schema)
    try:
        content = memoryview(path.read_bytes())
        if _check(content[_CHECK_BYTES:]) != content[:_CHECK_BYTES]:
            return nothing
        rows = pl.read_ipc(io.BytesIO(content[_CHECK_BYTES:]))
    except (OSError, PolarsError):
        return nothing
    return rows if rows.schema == schema else nothing


def _check(content: bytes | memoryview) -> bytes:
    return f"{zlib.crc32(content):08x}".encode()
