"""The format of a CSV file from a first pass over its bytes; a file that is no UTF-8 text is refused with the cause."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from har.errors import EmptyRecordingError, NotARecordingError
from har.recordings._foreign import refuse_foreign, refuse_other_format

_BLOCK = 1 << 20
_HEADER_BYTES = 1 << 16
_SEPARATORS = ",;\t|"
_SEP_LINE = re.compile(r"""\s*["']?sep=(?P<separator>[^"'\r\n])["']?[,;\s"']*""", re.IGNORECASE)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class CsvLayout:
    """The format of one file.

    Attributes:
        where: the file, as messages name it.
        path: the file.
        separator: one of comma, semicolon, tab and |.
        header: the names of the columns.
        above: the number of lines down to the header, itself included.
        separators: how many there are below the header.
        quotes: how many double quotes there are.
        lone_returns: how many CR are there without LF.
    """

    where: str
    path: Path
    separator: str
    header: tuple[str, ...]
    above: int
    separators: int
    quotes: int
    lone_returns: int


class _Counts:
    """Counts of bytes of interest, block by block."""

    def __init__(self) -> None:
        self.of = dict.fromkeys([*(mark.encode() for mark in _SEPARATORS), b'"', b"\n", b"\x00", b"\r", b"\r\n"], 0)
        self.size = 0
        self.end = 0
        """Where the last byte that is not zero ends."""
        self.last = b""
        """That byte."""
        self._tail = b""

    def add(self, block: bytes) -> None:
        for mark in self.of:
            self.of[mark] += block.count(mark)
        if self._tail == b"\r" and block.startswith(b"\n"):
            self.of[b"\r\n"] += 1
        self._tail = block[-1:]
        filled = block.rstrip(b"\x00")
        if filled:
            self.end, self.last = self.size + len(filled), filled[-1:]
        self.size += len(block)


def inspect(path: Path, where: str) -> CsvLayout:
    """Read the header, and count what the checks of the rows need.

    A first line `sep=;`, as spreadsheets write it, names the separator; otherwise it is the most frequent one of the
    header.

    Raises:
        RecordingError: the file is empty, binary, or of another encoding.
    """
    counts = _Counts()
    with path.open("rb") as file:
        first = head = file.readline(_HEADER_BYTES)
        said = _SEP_LINE.fullmatch(first.decode("utf-8-sig", errors="replace"))
        if said:
            counts.add(first)
            head = file.readline(_HEADER_BYTES)
        block = head
        while block:
            counts.add(block)
            block = file.read(_BLOCK)
    _refuse_binary(first, where, counts)
    above = 2 if said else 1
    if said and not head.strip():
        raise NotARecordingError(
            where=where, expected="a header below the line sep=", got="nothing", remedy="Export it again.", line=2
        )
    lone_returns = counts.of[b"\r"] - counts.of[b"\r\n"]
    if lone_returns and not counts.of[b"\n"]:
        raise wrong_line_ends(where)
    try:
        line = head.removeprefix(_UTF_8_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(where, above) from error
    separator = said["separator"] if said else max(_SEPARATORS, key=line.count)
    if separator not in _SEPARATORS:
        raise NotARecordingError(
            where=f"{where}, line 1",
            expected="a comma, semicolon, tab or | between fields",
            got=repr(separator),
            remedy="Export the file with commas.",
            line=1,
        )
    try:
        header = tuple(name.strip() for name in next(csv.reader([line], delimiter=separator)))
    except csv.Error as error:
        raise wrong_line_ends(where) from error
    mark = separator.encode()
    below = counts.of[mark] - head.count(mark) - (first.count(mark) if said else 0)
    return CsvLayout(where, path, separator, header, above, below, counts.of[b'"'], lone_returns)


def _refuse_binary(head: bytes, where: str, counts: _Counts) -> None:
    zeros, size = counts.of[b"\x00"], counts.size
    if not zeros and not head.strip():
        raise EmptyRecordingError.no_bytes(where)
    refuse_foreign(head, where)
    refuse_other_format(head, where)
    if not zeros:
        return
    line = 0
    if zeros == size:
        got, remedy = f"{size:,} zero bytes and nothing else", "It was never written: copy it again from the device."
    elif zeros == size - counts.end:
        line = counts.of[b"\n"] + (counts.last != b"\n")
        got = f"zeros in the last {zeros:,} bytes, after line {line:,}"
        remedy = f"Cut them off (tr -d '\\000' < old.csv > new.csv), and delete line {line:,} if it is incomplete."
    elif head.startswith(_UTF_16) or 0.4 < zeros / size < 0.6:
        got, remedy = "UTF-16 text", "Save the file as UTF-8."
    else:
        got = "binary content (zero bytes)"
        remedy = "Export the recording as UTF-8 CSV, or name the file by its format if it is another."
    raise NotARecordingError(
        where=where, expected="UTF-8 text with one sample per line", got=got, remedy=remedy, line=line
    )


def not_utf8(where: str, line: int) -> NotARecordingError:
    """The error for text in another encoding."""
    return NotARecordingError(
        where=f"{where}, line {line}",
        expected="UTF-8 text",
        got="bytes of another encoding",
        remedy="Save the file as UTF-8.",
        line=line,
    )


def wrong_line_ends(where: str) -> NotARecordingError:
    """The error for lines that end in CR alone."""
    return NotARecordingError(
        where=where,
        expected="lines that end in LF or CR LF",
        got="CR alone, as old Macintosh programs write it",
        remedy="Save the file with other line ends, for example tr '\\r' '\\n' < old.csv > new.csv.",
        line=1,
    )
