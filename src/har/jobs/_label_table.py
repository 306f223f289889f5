"""Read a CSV of labels: subject, start, end and activity; what cannot be one meaning only is refused, with its text."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from har.errors import LabelError, did_you_mean
from har.schema import TIME
from har.settings import Settings

COLUMNS = ("subject", "start", "end", "activity")
TABLE = pl.Schema({"line": pl.Int64(), "subject": pl.String(), "start": TIME, "end": TIME, "activity": pl.String()})
"""A table of labels as it was read; `line` is the number of the file's line, its header being line 1."""

JSON = ".json"
"""How a file of Label Studio ends."""
_DELIMITERS = (",", ";", "\t")
_CLOCK = r"{0}(\d{{2}}){1}(\d{{2}})(?:{1}(\d{{2}})(?:[.,](\d{{1,9}}))?)?\s?([Zz]|[+-]\d{{2}}(?::?\d{{2}})?)?"
_EXTENDED = re.compile(r"(\d{4})-(\d{2})-(\d{2})" + _CLOCK.format("[Tt ]", ":"), re.ASCII)
_BASIC = re.compile(r"(\d{4})(\d{2})(\d{2})" + _CLOCK.format("[Tt]", ""), re.ASCII)
_NOTHING_TAKEN = "No label was imported from the file."
_SHOWN = 60


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line, or a task of Label Studio; equal faults of many lines are told once."""

    line: int
    field: str
    expected: str
    got: str
    remedy: str


def read_labels(path: Path, settings: Settings) -> pl.DataFrame:
    """Read labels from a CSV; rows without an activity are skipped.

    The separator may be a comma, a semicolon or a tab, the text UTF-8 or UTF-16. Each time is read on its own, as ISO
    8601: with an offset, or without one in the project's zone. Blanks around values are dropped.

    Args:
        path: a CSV with at least subject, start, end and activity.
        settings: the activities and the time zone.

    Returns:
        The columns of `TABLE`, in the order of the lines; times in UTC.

    Raises:
        LabelError: the file is no CSV or lacks a column; or a line has no subject, a time that is not ISO 8601 or that
            the zone has twice or not at all, an end that is not after its start, or an unknown activity.
    """
    header, rows = _table(path)
    faults: list[Fault] = []
    labels = []
    for line, fields in rows:
        values = {name: unicodedata.normalize("NFC", fields[header.index(name)]).strip() for name in COLUMNS}
        if not values["activity"]:
            continue
        found = _label(line, values, settings)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            labels.append(found)
    refuse(faults, path)
    return pl.DataFrame(labels, TABLE, orient="row")


def refuse(faults: Sequence[Fault], path: Path) -> None:
    """Raise the first fault, with the number of lines that have one, too.

    Raises:
        LabelError: there is a fault.
    """
    if not faults:
        return
    first, *others = faults
    unit = "task" if path.suffix.lower() == JSON else "line"
    more = ""
    if others:
        numbers = ", ".join(str(one.line) for one in others[:5])
        more = f"; {len(others)} more {unit}s are refused: {numbers}{', …' if len(others) > 5 else ''}"
    raise LabelError(
        where=f"{path}, {unit} {first.line}{f', {first.field}' if first.field else ''}",
        expected=first.expected,
        got=f"{first.got}{more}",
        remedy=f"{first.remedy} {_NOTHING_TAKEN}",
    )


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows with the numbers of their lines."""
    lines = _text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    skipped = 1 if lines[0].lower().startswith("sep=") else 0  # what spreadsheets write ahead of the header
    head = lines[skipped] if len(lines) > skipped else ""
    if not head.strip():
        raise LabelError(
            where=str(path),
            expected="a CSV with a header",
            got="an empty first line" if any(lines) else "an empty file",
            remedy="Start from the file that `har labels --out FILE` writes.",
        )
    for delimiter in _DELIMITERS:
        header = [name.strip() for name in next(csv.reader([head], delimiter=delimiter))]
        if set(COLUMNS) <= set(header):
            break
    else:
        delimiter = max(_DELIMITERS, key=head.count)
        header = [name.strip() for name in next(csv.reader([head], delimiter=delimiter))]
        raise LabelError(
            where=f"{path}, line {skipped + 1}",
            expected=f"the columns {', '.join(COLUMNS)}",
            got=f"no {', '.join(name for name in COLUMNS if name not in header)} in {_short(head)}",
            remedy="Start from the file that `har labels --out FILE` writes.",
        )
    repeated = [name for name in COLUMNS if header.count(name) > 1]
    if repeated:
        raise LabelError(
            where=f"{path}, line {skipped + 1}",
            expected=f"one column {repeated[0]!r}",
            got=_short(head),
            remedy=f"Rename or remove the others. {_NOTHING_TAKEN}",
        )
    return header, list(_rows(path, lines[skipped + 1 :], skipped + 1, delimiter, header))


def _rows(
    path: Path, lines: Sequence[str], before: int, delimiter: str, header: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter, strict=True)
    while True:
        line = before + reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise LabelError(
                where=f"{path}, line {line}",
                expected="a row of a CSV",
                got=f"{_short(lines[min(line - before, len(lines)) - 1])} ({error})",
                remedy=f"Fix the line. {_NOTHING_TAKEN}",
            ) from error
        if fields is None:
            return
        if not any(field.strip() for field in fields):
            continue
        if len(fields) < len(header) or any(field.strip() for field in fields[len(header) :]):
            raise LabelError(
                where=f"{path}, line {line}",
                expected=f"{len(header)} fields, as in the header",
                got=f"{len(fields)}: {_short(delimiter.join(fields))}",
                remedy=f"Fix the line; put quotes around a value that contains {delimiter!r}. {_NOTHING_TAKEN}",
            )
        yield line, fields


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LabelError(
            where=str(path),
            expected="a CSV that can be read",
            got=error.strerror or type(error).__name__,
            remedy="Check the path and the permissions.",
        ) from error
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
        raise LabelError(
            where=f"{path}, line {number}",
            expected="text in UTF-8 or UTF-16",
            got=f"the byte 0x{content[error.start]:02x}",
            remedy="Save the file as CSV UTF-8.",
        ) from error
    if "\0" in text:
        raise LabelError(
            where=str(path),
            expected="text in UTF-8, or in UTF-16 with its mark at the start",
            got="zero bytes",
            remedy="Save the file as CSV UTF-8; a spreadsheet's own format is no CSV.",
        )
    return text


def _label(line: int, values: dict[str, str], settings: Settings) -> tuple[object, ...] | Fault:
    if not values["subject"]:
        return Fault(line, "subject", expected="a subject", got="none", remedy="Write whose label it is.")
    times: list[dt.datetime] = []
    for name in ("start", "end"):
        time = _stamp(line, name, values[name], settings)
        if isinstance(time, Fault):
            return time
        times.append(time)
    if times[1] <= times[0]:
        return Fault(
            line,
            "end",
            expected=f"a time after the start, {values['start']!r}",
            got=repr(values["end"]),
            remedy="Check whether the two are swapped.",
        )
    activities = settings.activities.all
    if values["activity"] not in activities:
        return Fault(
            line,
            "activity",
            expected=f"one of {', '.join(activities)}",
            got=repr(values["activity"][:_SHOWN]),
            remedy=did_you_mean(values["activity"], activities) or "Write it as har.toml does.",
        )
    return (line, values["subject"], *times, values["activity"])


def _stamp(line: int, name: str, text: str, settings: Settings) -> dt.datetime | Fault:
    """A time in UTC."""
    match = _EXTENDED.fullmatch(text) or _BASIC.fullmatch(text)
    zone = settings.project.timezone
    refused = Fault(
        line,
        name,
        expected="an ISO 8601 time such as 2024-05-06T08:00:00Z",
        got=_short(text) if text else "none",
        remedy=_advice(text),
    )
    if match is None:
        return refused
    *parts, fraction, offset = match.groups()
    try:
        numbers = [int(part or 0) for part in parts]
        time = dt.datetime(*numbers, int((fraction or "")[:6].ljust(6, "0")))  # type: ignore[arg-type,call-arg]
        if offset is not None:
            return time.replace(tzinfo=_offset(offset)).astimezone(dt.UTC)
        early, late = (time.replace(tzinfo=settings.project.zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    except (ValueError, OverflowError):
        return refused
    if early == late:
        return early
    how_often = "twice" if early < late else "not at all"
    return Fault(
        line,
        name,
        expected=f"a time that {zone} has once",
        got=f"{text!r}, which it has {how_often}: the clocks change",
        remedy="Write the offset, too, such as +02:00.",
    )


def _offset(text: str) -> dt.tzinfo:
    if text in "Zz":
        return dt.UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError(text)
    size = dt.timedelta(hours=hours, minutes=minutes)
    return dt.timezone(-size if text[0] == "-" else size)


def _advice(text: str) -> str:
    if not text:
        return "Write when it was."
    if re.fullmatch(r"-?\d{9,19}([.,]\d+)?", text):
        return "A count of seconds or milliseconds has to be written as a date and a time."
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return "Write the time of the day, too."
    if re.search(r"[AaPp]\.?\s?[Mm]\.?$", text):
        return "Write hours from 00 to 23, and the date as year-month-day."
    if re.match(r"\d{1,4}[/.]\d{1,2}[/.]\d{1,4}", text):
        return "Day and month can be told apart only as year-month-day: format the cells as yyyy-mm-dd hh:mm:ss."
    return "Write year-month-day, T or a blank, and hours:minutes:seconds."


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
