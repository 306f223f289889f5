"""ActiLife RAW CSV: ten lines above the header, then x, y, z in g, usually without a time column.

The first ten lines give rate, date format and start. Without stamps, the sample's number tells the time; where the
export has a column Timestamp, that does. ActiLife fills idle sleep with the last value: the ingest flags it as stuck.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import NotARecordingError
from har.recordings.layouts._devices.decode import Metadata, Piece
from har.recordings.layouts._devices.recordings import OPTIONS, Header, device_recordings
from har.recordings.layouts._layout import Layout, RawRecording, Source, sample_times
from har.recordings.layouts._tables.format import Text, TextFormat, fields, head_lines, most_frequent, open_text
from har.recordings.layouts._tables.text import Rows, row_blocks

_LINES = 10
_FIRST = re.compile(r"Data File Created By (?P<model>ActiGraph \S+).*?date format (?P<date>\S+) at (?P<rate>[\d.]+) Hz")
_ENTRY = re.compile(r"(Serial Number|Start Time|Start Date|Epoch Period \(hh:mm:ss\)):? +(\S+)")
_AXES = ("Accelerometer X", "Accelerometer Y", "Accelerometer Z")
_STAMP = "Timestamp"
_CODES = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "M": "%m", "dd": "%d", "d": "%d"}


def _find(source: Source) -> list[Path]:
    return source.files("*.csv")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    return device_recordings(path, source, _pieces, _header)


def _pieces(path: Path, faults: Counter[str]) -> Generator[Piece, None, None]:
    where = str(path)
    lines = head_lines(path, where, "")
    about = _about(where, lines[:_LINES])
    text = _open(path, where, lines)
    stamped = _STAMP in text.columns
    for rows in row_blocks(text, _AXES, (_STAMP,) if stamped else ()):
        faults.update(rows.faults)
        if stamped:
            rows, local_us = _stamps(rows, f"{about['date']} %H:%M:%S%.f", faults)
        else:
            local_us = int(about["start"]) + sample_times(rows.numbers, float(about["rate"]))
        yield Piece(local_us, rows.xyz(_AXES).astype(np.float32), None, {"info": about}, 0)


def _about(where: str, lines: list[str]) -> dict[str, str]:
    first = _FIRST.search(lines[0])
    entries = dict(_ENTRY.findall("\n".join(lines)))
    if first is None or not {"Start Time", "Start Date"} <= entries.keys():
        raise NotARecordingError(
            where=f"{where}, line 1",
            expected=f"{_LINES} lines of ActiLife with date format, rate, Start Time and Start Date",
            got=repr(lines[0][:60]),
            remedy="Export RAW data from ActiLife with its header. Of a file without it, name the columns: "
            "har import csv -o time=Timestamp -o 'time-format=%d/%m/%Y %H:%M:%S%.f' "
            "-o 'accelerometer=Accelerometer X,Accelerometer Y,Accelerometer Z'.",
            line=1,
        )
    epoch = entries.get("Epoch Period (hh:mm:ss)", "00:00:00")
    if epoch.strip("0:"):
        raise NotARecordingError(
            where=where,
            expected="raw samples, of an epoch period of 00:00:00",
            got=f"counts in epochs of {epoch}",
            remedy="Counts are no accelerations: export RAW data from ActiLife, or import the .gt3x file.",
        )
    date = re.sub(r"yyyy|yy|MM?|dd?", lambda code: _CODES[code[0]], first["date"])
    try:
        start = dt.datetime.strptime(f"{entries['Start Date']} {entries['Start Time']}", f"{date} %H:%M:%S")
    except ValueError as error:
        raise NotARecordingError(
            where=where,
            expected=f"a start in the date format {first['date']}",
            got=f"{entries['Start Date']} {entries['Start Time']}",
            remedy="Export the file again; a spreadsheet may have changed its dates.",
        ) from error
    start_us = round((start - dt.datetime(1970, 1, 1)).total_seconds() * 1e6)
    serial = entries.get("Serial Number", "")
    return {"model": first["model"], "serial": serial, "rate": first["rate"], "date": date, "start": str(start_us)}


def _open(path: Path, where: str, lines: list[str]) -> Text:
    """The table; some versions of ActiLife write no header."""
    row = next((line for line in lines[_LINES:] if line.strip()), "")
    delimiter = most_frequent(row)
    names = fields(row, delimiter)
    headed = names[-3:] == _AXES
    first = fields(lines[_LINES + 1], delimiter) if headed and len(lines) > _LINES + 1 else names
    comma = delimiter != "," and any(re.fullmatch(r"-?\d+,\d+", one) for one in first)
    header = () if headed else _AXES if len(names) == len(_AXES) else (_STAMP, *_AXES)
    return open_text(path, where, TextFormat(_LINES, header, delimiter, "," if comma else "."))


def _stamps(rows: Rows, form: str, faults: Counter[str]) -> tuple[Rows, NDArray[np.int64]]:
    parsed = rows.frame[_STAMP].str.to_datetime(form, time_unit="us", strict=False)
    dated = parsed.is_not_null().to_numpy()
    kept = Rows(rows.where, rows.frame, rows.numbers).keep(dated, "rows without a stamp")
    faults.update(kept.faults)
    return kept, parsed.filter(pl.Series(dated)).cast(pl.Int64).to_numpy()


def _header(metadata: Metadata) -> Header:
    about = metadata["info"]
    return Header(about["model"], about["serial"], float(about["rate"]), blocks=False)


LAYOUT = Layout("actilife", "ActiLife RAW CSV, with its ten lines above the header", _find, _read, OPTIONS)
