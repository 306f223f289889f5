"""Bound what a Parquet file decodes to, from its footer and page headers, before anything is decoded.

A file of half a megabyte can decode to gigabytes: one repeated value needs no more room than its count, and sizes in
headers are taken at their word by readers. Written for the format's description (parquet.thrift in
apache/parquet-format, Thrift's compact protocol): no package that the services have tells page sizes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from har.errors import NotARecordingError

GROUP_BYTES = 256 * 2**20
"""Decoded columns of one row group: readers hold a whole one."""
RATIO = 64
"""A file decodes to so many times its size at most, or to `GROUP_BYTES`. Sensors' noise is compressed to a fifth; a
device at rest, to a thirtieth."""
FOOTER_BYTES = 16 * 2**20
PAGES = 200_000

_MAGIC = b"PAR1"
_PAGE_HEADER_BYTES = 64 * 1024
_WIDTHS = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8}
_TEXT_WIDTH = 16
_DELTA_BYTE_ARRAY = 7
_DEPTH = 16

Struct = dict[int, object]


def check_parquet(path: Path, columns: Collection[str], *, where: str, row_groups_at_once: int = 1) -> None:
    """Refuse a file whose columns of these names decode to more than the limits, whatever its headers say.

    Args:
        path: the file.
        columns: the columns that will be read; names that the file has not are ignored.
        where: the file in messages.
        row_groups_at_once: how many are held; 0: all, the limit of a single one does not hold then.

    Raises:
        NotARecordingError: it is no Parquet, damaged, or too large when decoded.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        try:
            _check(file, size, frozenset(columns), where, row_groups_at_once)
        except NotARecordingError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise NotARecordingError(
                where=where,
                expected="a Parquet file",
                got=f"one with headers that make no sense: {reason}",
                remedy="The file is damaged: export or send it again.",
            ) from error


@dataclass
class _Budget:
    """Bytes and pages that may still come."""

    bytes: int
    pages: int


def _check(file: BinaryIO, size: int, columns: frozenset[str], where: str, at_once: int) -> None:
    footer = _footer(file, size)
    limit = max(GROUP_BYTES, RATIO * size)
    budget = _Budget(limit, PAGES)
    for number, group in enumerate(_list(footer, 4)):
        rows = _whole(group, 3)
        decoded = 0
        for chunk in _list(group, 1):
            meta = _struct(chunk, 3)
            name = cast("list[bytes]", meta[3])[0].decode()
            if name not in columns:
                continue
            if 1 in chunk:
                raise ValueError(f"column {name!r} is in another file")
            values = _whole(meta, 5)
            kind = _whole(meta, 1)
            nested = len(cast("list[bytes]", meta[3])) > 1
            if values > rows and not nested:
                raise ValueError(f"column {name!r} with {values} values in {rows} rows")
            if kind not in _WIDTHS and _DELTA_BYTE_ARRAY in cast("list[int]", meta[2]):
                raise NotARecordingError(
                    where=f"{where}, column {name!r}",
                    expected="text in plain or dictionary encoding",
                    got="DELTA_BYTE_ARRAY, whose size only decoding would show",
                    remedy="Write the column with the writer's defaults.",
                )
            width = _WIDTHS.get(kind, _TEXT_WIDTH)
            decoded += values * width + _pages(file, size, meta, values, budget, name)
            if at_once and decoded * at_once > GROUP_BYTES:
                raise _too_large(
                    f"{where}, row group {number}",
                    f"at most {GROUP_BYTES // 2**20} MiB when decoded",
                    f"{rows:,} rows, {decoded / 2**20:,.0f} MiB or more",
                    "Write smaller row groups, such as of 250,000 rows.",
                )
        budget.bytes -= decoded
        if budget.bytes < 0:
            raise _too_large(
                where,
                f"at most {RATIO} bytes decoded from one of the file ({limit / 2**20:,.0f} MiB here)",
                f"more, in {number + 1} row groups",
                "Recordings are not compressed that far: export the file again.",
            )


def _too_large(where: str, expected: str, got: str, remedy: str) -> NotARecordingError:
    return NotARecordingError(where=where, expected=expected, got=got, remedy=remedy)


def _footer(file: BinaryIO, size: int) -> Struct:
    if size < 12:
        raise ValueError("it is cut short")
    file.seek(size - 8)
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > size - 12:
        raise ValueError("it is cut short")
    if length > FOOTER_BYTES:
        raise ValueError(f"a footer of {length} bytes; at most {FOOTER_BYTES} are read")
    file.seek(size - 8 - length)
    return _Compact(file.read(length)).struct()


def _pages(file: BinaryIO, size: int, meta: Struct, values: int, budget: _Budget, name: str) -> int:
    """Bytes that the pages of a column chunk claim to decompress to; their values must not be more than the chunk's."""
    starts = [_whole(meta, field) for field in (11, 9) if field in meta]
    at = min(start for start in starts if start > 0)
    end = at + _whole(meta, 7)
    if end > size:
        raise ValueError(f"column {name!r} ends behind the file's end")
    found = total = 0
    while at < end and found < values:
        if at > size:
            raise ValueError(f"a page of column {name!r} behind the file's end")
        file.seek(at)
        reader = _Compact(file.read(min(_PAGE_HEADER_BYTES, end - at)))
        header = reader.struct()
        total += _whole(header, 2)
        at += reader.at + _whole(header, 3)
        for field in (5, 8):
            if field in header:
                found += _whole(_struct(header, field), 1)
        budget.pages -= 1
        if found > values or total > max(budget.bytes, 0) or budget.pages < 0:
            break
    if found > values:
        raise ValueError(f"column {name!r} with more than the {values} values that its footer names")
    if budget.pages < 0:
        raise ValueError(f"more than {PAGES} pages")
    return total


def _list(struct: Struct, field: int) -> Iterator[Struct]:
    for item in cast("list[Struct]", struct.get(field, [])):
        if not isinstance(item, dict):
            raise ValueError("a list of other things than structures")
        yield item


def _struct(struct: Struct, field: int) -> Struct:
    found = struct[field]
    if not isinstance(found, dict):
        raise ValueError("a value in the place of a structure")
    return found


def _whole(struct: Struct, field: int) -> int:
    found = struct[field]
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"{found!r} as a size or count")
    return found


class _Compact:
    """Thrift's compact protocol: structures become dictionaries by field number."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def struct(self, depth: int = 0) -> Struct:
        """The structure that begins here."""
        if depth > _DEPTH:
            raise ValueError("structures within structures without end")
        found: Struct = {}
        number = 0
        while True:
            head = self._byte()
            if head == 0:
                return found
            step, kind = head >> 4, head & 15
            number = number + step if step else self._zigzag()
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)

    def _value(self, kind: int, depth: int) -> object:
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 8:
            return self._bytes(self._varint())
        if kind == 12:
            return self.struct(depth + 1)
        if kind in (9, 10):
            return self._list(depth)
        if kind in (1, 2, 3):
            return self._byte()
        if kind == 7:
            return self._bytes(8)
        raise ValueError(f"a field of type {kind}")

    def _list(self, depth: int) -> list[object]:
        if depth > _DEPTH:
            raise ValueError("lists within lists without end")
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        if count > len(self._content) - self.at:
            raise ValueError(f"a list of {count} items in {len(self._content)} bytes")
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        if self.at >= len(self._content):
            raise ValueError("it ends within a header")
        self.at += 1
        return self._content[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > len(self._content) - self.at:
            raise ValueError("it ends within a header")
        self.at += count
        return self._content[self.at - count : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
