"""How a delimited text file is written: lines above the header, delimiter, decimal mark, encoding; read in blocks."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Literal, Protocol

from har.errors import EmptyRecordingError, NotARecordingError
from har.recordings.layouts._option import option_error

OPTIONS = {
    "skip": "lines above the header, such as 10 for ActiLife; default: 0",
    "header": "the columns' names, such as time,x,y,z, if the file has no header",
    "delimiter": "comma, semicolon, tab or space; default: the most frequent in the header",
    "decimal": "point or comma; default: point",
    "encoding": "of the text, such as cp1252; default: utf-8, or utf-16 with a byte order mark",
}
BLOCK_BYTES = 4 << 20
"""How much of a file is parsed at a time: parsing takes several times the memory of its text."""
_HEAD_BYTES = 1 << 16
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " "}
_DECIMALS = {"point": ".", "comma": ","}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Opens(Protocol):
    """A file: a path, or an entry of an archive."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Its bytes."""


@dataclass(frozen=True)
class TextFormat:
    """How a file is written.

    Attributes:
        skip: lines above the header, or above the first row if `header` is given.
        header: the columns' names, if the file has none.
        delimiter: between two fields; "": the most frequent of ';', tab and ',' in the header.
        decimal: the decimal mark.
        encoding: of the text; "": UTF-8, or UTF-16 with a byte order mark.
    """

    skip: int = 0
    header: tuple[str, ...] = ()
    delimiter: str = ""
    decimal: str = "."
    encoding: str = ""

    @classmethod
    def of(cls, options: Mapping[str, str]) -> TextFormat:
        """The format that options name.

        Raises:
            SettingsError: an option has an invalid value.
        """
        skip, delimiter = options.get("skip", "0"), options.get("delimiter", "")
        decimal, encoding = options.get("decimal", "point"), options.get("encoding", "")
        if not (skip.isascii() and skip.isdigit() and int(skip) < 100_000):
            raise option_error("skip", "a number of lines", skip)
        if delimiter and delimiter not in _DELIMITERS and delimiter not in _DELIMITERS.values():
            raise option_error("delimiter", ", ".join(_DELIMITERS), delimiter)
        if decimal not in _DECIMALS and decimal not in _DECIMALS.values():
            raise option_error("decimal", ", ".join(_DECIMALS), decimal)
        try:
            "\n".encode(encoding or "utf-8")
        except LookupError as error:
            raise option_error("encoding", "an encoding such as utf-8, cp1252 or utf-16", encoding) from error
        names = tuple(name.strip() for name in options["header"].split(",")) if "header" in options else ()
        if "header" in options and (not all(names) or len(set(names)) != len(names)):
            raise option_error("header", "different names, such as time,x,y,z", options["header"])
        return cls(int(skip), names, _DELIMITERS.get(delimiter, delimiter), _DECIMALS.get(decimal, decimal), encoding)


@dataclass(frozen=True)
class Text:
    """A text file whose header was read.

    Attributes:
        where: the file, as messages name it.
        columns: names in the header, stripped; names may repeat.
        delimiter: between two fields.
        first_line: line of the first row, counted from 1.
    """

    where: str
    path: Opens
    format: TextFormat
    columns: tuple[str, ...]
    delimiter: str
    first_line: int

    def blocks(self) -> Iterator[str]:
        """The rows below the header, some megabytes of whole lines at a time, lines ended by line feeds.

        Raises:
            NotARecordingError: the text is not in its encoding, or is binary.
        """
        rest = ""
        skip = self.first_line - 1
        for text in _decoded(self.path, self.where, self.format.encoding):
            rest += text
            while skip and "\n" in rest:
                skip -= 1
                rest = rest.partition("\n")[2]
            if skip:
                continue
            cut = _whole_lines(rest)
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
            elif len(rest) > 16 * BLOCK_BYTES:
                raise _no_lines(self.where)
        if rest.strip() and not skip:
            yield rest


def open_text(path: Opens, where: str, fmt: TextFormat) -> Text:
    """Read the header of a text file.

    Spreadsheets' first line `sep=;` is skipped and names the delimiter.

    Raises:
        NotARecordingError: the file is not text.
        EmptyRecordingError: it has no line below those to skip.
    """
    lines = head_lines(path, where, fmt.encoding)
    if not any(line.strip() for line in lines):
        raise EmptyRecordingError.no_bytes(where)
    skip, delimiter = fmt.skip, fmt.delimiter
    if not skip and lines[0].strip().strip('"').casefold().startswith("sep=") and len(lines) > 1:
        skip, delimiter = 1, delimiter or lines[0].strip().strip('"')[4:5] or ("\t" if "\t" in lines[0] else "")
    while not fmt.header and skip < len(lines) and not lines[skip].strip():
        skip += 1  # blank lines above the header
    if len(lines) <= skip:
        raise EmptyRecordingError(
            where=where,
            expected=f"more than {skip} lines, which -o skip={fmt.skip} leaves out",
            got=f"{len(lines)} within the first {_HEAD_BYTES // 1024} KiB",
            remedy="Correct the option skip.",
        )
    delimiter = delimiter or most_frequent(lines[skip])
    if fmt.decimal == delimiter:
        raise option_error("decimal", "another mark than the delimiter", f"{delimiter} for both")
    columns = fmt.header or fields(lines[skip], delimiter)
    return Text(where, path, fmt, columns, delimiter, skip + 1 if fmt.header else skip + 2)


def head_lines(path: Opens, where: str, encoding: str) -> list[str]:
    """The lines at the beginning of a text file; the last may be cut short.

    Raises:
        NotARecordingError: the file is not text.
    """
    for text in _decoded(path, where, encoding, _HEAD_BYTES):
        return text[:_HEAD_BYTES].split("\n")
    return [""]


def most_frequent(line: str) -> str:
    """The most frequent delimiter of a line."""
    return max(",", ";", "\t", key=line.count)


def fields(line: str, delimiter: str) -> tuple[str, ...]:
    """The fields of one line, quotes and blanks around them removed."""
    return tuple(field.strip().strip('"').strip() for field in next(csv.reader([line], delimiter=delimiter), []))


def _decoded(path: Opens, where: str, encoding: str, size: int = BLOCK_BYTES) -> Iterator[str]:
    """The text of a file, block by block, lines ended by line feeds."""
    with path.open("rb") as file:
        head = file.read(4)
        if not encoding:
            encoding = "utf-16" if head.startswith(_UTF16) else "utf-8"
        if encoding.replace("_", "-").casefold() in ("utf-8", "utf8"):
            encoding = "utf-8-sig"
        file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        lines = 1
        while block := file.read(size):
            try:
                text = decoder.decode(block)
            except UnicodeError as error:
                at = lines + block[: getattr(error, "start", 0)].count(b"\n")
                raise _not_text(where, encoding, at, head) from error
            if "\0" in text:
                raise _binary(where, lines + text[: text.index("\0")].count("\n"), head)
            if "\r" in text:
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            lines += text.count("\n")
            yield text
        try:
            decoder.decode(b"", final=True)
        except UnicodeError as error:
            raise _not_text(where, encoding, lines, head) from error


def _whole_lines(text: str) -> int:
    """Where the last row of the text ends: a quoted field may hold line feeds."""
    cut = text.rfind("\n") + 1
    while cut and '"' in text and text.count('"', 0, cut) % 2:
        cut = text.rfind("\n", 0, cut - 1) + 1
    return cut


def _likely(head: bytes) -> str:
    """The encoding of text that is not UTF-8: UTF-16 has a zero in every second byte of Latin text."""
    return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "cp1252"


def _not_text(where: str, encoding: str, line: int, head: bytes) -> NotARecordingError:
    name = encoding.removesuffix("-sig")
    return NotARecordingError(
        where=f"{where}, line {line}",
        expected=f"text in {name.upper()}",
        got="bytes of another encoding",
        remedy=f"Name the encoding of the file, for example -o encoding={_likely(head)}, or save it as UTF-8.",
        line=line,
    )


def _binary(where: str, line: int, head: bytes) -> NotARecordingError:
    if b"\0" in head[:2]:
        return _not_text(where, "utf-8", line, head)
    return NotARecordingError(
        where=f"{where}, line {line}",
        expected="text",
        got="zero bytes",
        remedy="If the file ends in zeros, the device lost power while it wrote: remove them. If it is binary, export "
        "it as CSV.",
        line=line,
    )


def _no_lines(where: str) -> NotARecordingError:
    return NotARecordingError(
        where=where,
        expected="text with one sample per line",
        got=f"{16 * BLOCK_BYTES >> 20} MB without the end of a row",
        remedy="Check the file for a double quote that is never closed.",
    )
