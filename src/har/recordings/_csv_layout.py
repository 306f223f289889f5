"""The format of a CSV file from its bytes; a file that is no UTF-8 text is refused with the cause."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field

import numpy as np

from har.errors import EmptyRecordingError, NotARecordingError
from har.recordings._foreign import refuse_foreign, refuse_other_format

_BLOCK = 1 << 18
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
        content: its bytes.
        separator: one of comma, semicolon, tab and |.
        header: the names of the columns.
        above: the number of lines down to the header, itself included.
        separators: how many there are below the header.
        quotes: whether there are double quotes.
        lone_returns: whether there are CR without LF.
    """

    where: str
    content: bytes = field(repr=False)
    separator: str
    header: tuple[str, ...]
    above: int
    separators: int
    quotes: bool
    lone_returns: bool


def inspect(content: bytes, where: str) -> CsvLayout:
    """Read the header, and count what the checks of the rows need.

    A first line `sep=;`, as spreadsheets write it, names the separator; otherwise it is the most frequent one of the
    header.

    Raises:
        RecordingError: the file is empty, binary, or of another encoding.
    """
    first = head = _line(content, 0)
    said = _SEP_LINE.fullmatch(first.decode("utf-8-sig", errors="replace"))
    if said:
        head = _line(content, len(first))
    _refuse_binary(first, where, content)
    above = 2 if said else 1
    if said and not head.strip():
        raise NotARecordingError(
            where=where, expected="a header below the line sep=", got="nothing", remedy="Export it again.", line=2
        )
    lone_returns = b"\r" in content and content.count(b"\r") > content.count(b"\r\n")
    if lone_returns and b"\n" not in content:
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
    below = _count(content, separator, start=len(head) + (len(first) if said else 0))
    return CsvLayout(where, content, separator, header, above, below, b'"' in content, lone_returns)


def _line(content: bytes, start: int) -> bytes:
    """The line that begins at `start`, with its end; cut where it is longer than any header."""
    end = content.find(b"\n", start, start + _HEADER_BYTES)
    return content[start : end + 1 if end >= 0 else start + _HEADER_BYTES]


def _count(content: bytes, mark: str, *, start: int) -> int:
    """How often a character occurs from `start` on; for frequent ones, NumPy is five times as fast as `bytes.count`."""
    values = np.frombuffer(content, np.uint8)
    # Blocks stay in the processor's cache.
    blocks = range(start, len(values), _BLOCK)
    return sum(int(np.count_nonzero(values[first : first + _BLOCK] == ord(mark))) for first in blocks)


def _refuse_binary(head: bytes, where: str, content: bytes) -> None:
    zeros, size = content.count(b"\x00") if b"\x00" in content else 0, len(content)
    if not zeros and not head.strip():
        raise EmptyRecordingError.no_bytes(where)
    refuse_foreign(head, where)
    refuse_other_format(head, where)
    if not zeros:
        return
    line = 0
    filled = content.rstrip(b"\x00")
    if zeros == size:
        got, remedy = f"{size:,} zero bytes and nothing else", "It was never written: copy it again from the device."
    elif zeros == size - len(filled):
        line = content.count(b"\n") + (not filled.endswith(b"\n"))
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
