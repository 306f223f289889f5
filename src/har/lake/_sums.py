"""Checksums of a table's files, beside it: neither delta-rs nor Polars writes or checks those that Parquet can have.

Without them, a flipped bit in a column of numbers is read as another number.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from har.files import write_atomically
from har.storage import Location

_BLOCK = 1 << 18
_FEW = 8


class Sums:
    """The checksums (CRC-32) of the files of one table, in `.<table>.sums`, a line per file.

    Args:
        table: the table's folder.
    """

    def __init__(self, table: Path) -> None:
        self._table = table
        self.path = table.parent / f".{table.name}.sums"

    def add(self, files: Iterable[Path]) -> None:
        """Note files that were just written; they stay the same from then on."""
        lines = "".join(self._line(file, crc32(file)) for file in files)
        if lines:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(lines)
                stream.flush()
                os.fsync(stream.fileno())

    def expected(self, file: Path) -> int | None:
        """What `crc32` must give for this file; None for a file of an older release or another program."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        total = _read(self.path, status.st_size, status.st_mtime_ns).get(_name(file, self._table).encode())
        return None if total is None else int(total, 16)

    def forget_removed(self) -> None:
        """Drop the lines of files that no longer exist."""
        if self.path.exists():
            status = self.path.stat()
            known = _read(self.path, status.st_size, status.st_mtime_ns)
            there = {
                name: total for name, total in known.items() if (self._table / name.decode(errors="replace")).exists()
            }
            write_atomically(self.path, b"".join(total + b" " + name + b"\n" for name, total in there.items()))

    def _line(self, file: Path, total: int) -> str:
        return f"{total:08x} {_name(file, self._table)}\n"


def crc32(file: Path) -> int:
    """CRC-32 of a file's bytes."""
    total = 0
    # One buffer for all blocks: a new one for each costs as much as the sum.
    block = memoryview(bytearray(_BLOCK))
    with file.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            total = zlib.crc32(block[:count], total)
    return total


def sizes(table: Location, count: int) -> Callable[[str], int]:
    """A function that gives the size of a table's file in bytes, by its address.

    Args:
        table: where the files are. On object storage one list of them takes less time than a request for each.
        count: of the files that will be asked for.
    """
    if table.is_local:
        return lambda address: os.stat(address).st_size  # noqa: PTH116  a Path takes longer than the call
    if count <= _FEW:
        return lambda address: Location(address, table.service).size()
    listed = {str(table / entry.name): entry.size for entry in table.list()}

    def size(address: str) -> int:
        if address not in listed:
            raise FileNotFoundError(address)
        return listed[address]

    return size


def _name(file: Path, table: Path) -> str:
    return str(file)[len(str(table)) + 1 :]


@lru_cache(maxsize=32)
def _read(path: Path, size: int, _written_ns: int) -> dict[bytes, bytes]:
    """The lines; one that is cut short, because the machine crashed, says nothing."""
    with path.open("rb") as stream:
        lines = stream.read(size).split(b"\n")[:-1]
    return {line[9:]: line[:8] for line in lines if _LINE.match(line)}


_LINE = re.compile(rb"[0-9a-f]{8} .")
