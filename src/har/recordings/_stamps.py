"""Convert a file's stamps (ISO text, epoch counts or Parquet timestamps) to int64 microseconds in UTC."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import RecordingTimeError
from har.recordings._local_time import local_to_utc
from har.recordings._table import Parsed
from har.settings import TICKS_PER_SECOND

_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}(?P<between>[T ])\d{2}:\d{2}:\d{2}(?:\.(?P<digits>\d+))?(?P<offset>Z|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)
_FAST_DIGITS = (0, 3, 6)
"""Digits of a fraction that polars parses in a tenth of the time of other forms."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_LAST_SECOND = 253_402_300_799  # of the year 9999
_LAST_COUNT = 2**63 - 1
_UPTIME_US = 20 * 365 * 86_400_000_000  # no device has run for longer
_NOT_ISO = (
    "Export the stamps in ISO 8601, year first; or import the file with `har import csv`, whose option time-format "
    "names their form."
)

NO_DATES = (
    "The stamps are no dates: they count from the start of the recording or of the device, or its clock was not set. "
    "Write date and time into the file, or import it with `har import`, which assigns a date."
)


def utc_microseconds(parsed: Parsed, unit: str, zone: str) -> tuple[NDArray[np.int64], Counter[str]]:
    """Each row's stamp in µs since 1970, UTC, int64 (n,); stamps without an offset are read in `zone`.

    The second is the number of stamps by what `local_to_utc` says of them.

    Raises:
        RecordingTimeError: a stamp is absent, zero or not in `unit`.
    """
    faults: Counter[str] = Counter()
    stamps = parsed.time
    if stamps.null_count():
        _refuse(parsed, int(stamps.is_null().arg_max() or 0), "a stamp", "an empty field", "Delete that line.")
    if isinstance(stamps.dtype, pl.Datetime):
        _refuse_far_dates(parsed, stamps)
        times = _datetimes(stamps.dt.cast_time_unit("us"), zone, faults)
    elif stamps.dtype.is_numeric() and unit != "iso":
        times = _epoch(parsed, stamps, unit)
    elif stamps.dtype == pl.String:
        times = _iso(parsed, stamps, zone, faults) if unit == "iso" else _epoch_text(parsed, stamps, unit)
    else:
        _refuse(
            parsed,
            0,
            'ISO stamps (recordings.time_unit = "iso")',
            f"{stamps[0]!r} ({stamps.dtype})",
            'Set recordings.time_unit in har.toml to "s", "ms", "us" or "ns" for epoch counts.',
        )
    if (times <= 0).any():
        row = int(np.argmax(times <= 0))
        got = "a zero stamp" if times[row] == 0 else f"{stamps[row]}, before 1970"
        remedy = "The device's clock was not set at that line: delete it."
        if np.median(times) < _UPTIME_US:
            remedy = NO_DATES
        _refuse(parsed, row, "a time after 1970", got, remedy)
    return times, faults


def _iso(parsed: Parsed, stamps: pl.Series, zone: str, faults: Counter[str]) -> NDArray[np.int64]:
    match = _ISO.fullmatch(stamps[0].strip())
    if match is None:
        counts = _NUMBER.fullmatch(stamps[0].strip())
        remedy = _NOT_ISO
        if counts:
            remedy = 'For epoch counts set recordings.time_unit in har.toml to "s", "ms", "us" or "ns".'
        elif _ISO.fullmatch(_in_ascii(stamps[0].strip())):
            remedy = "Write stamps with the digits 0 to 9: export the file in English, or with another program."
        _refuse_text(parsed, stamps, 0, remedy)
    alike = _alike(stamps, match)
    if alike is not None:
        return _datetimes(alike, zone, faults)
    pattern = f"%Y-%m-%d{match['between']}%H:%M:%S%.f{'%#z' if match['offset'] else ''}"
    parsed_stamps = stamps.str.to_datetime(pattern, time_unit="us", strict=False)
    if parsed_stamps.null_count():
        stripped = stamps.str.strip_chars()
        parsed_stamps = stripped.str.to_datetime(pattern, time_unit="us", strict=False)
    if parsed_stamps.null_count():
        _refuse_text(parsed, stamps, int(parsed_stamps.is_null().arg_max() or 0), "")
    return _datetimes(parsed_stamps, zone, faults)


def _alike(stamps: pl.Series, first: re.Match[str]) -> pl.Series | None:
    """The stamps, if all have the digits and the offset of the first one; parsed seven times as fast as any others."""
    digits, offset = len(first["digits"] or ""), first["offset"] or ""
    try:
        ahead = dt.datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").utcoffset()
    except ValueError:  # no offset of a time zone
        return None
    if digits not in _FAST_DIGITS:
        return None
    pattern = f"%Y-%m-%d{first['between']}%H:%M:%S{f'.%{digits}f' if digits else ''}{offset}"
    # A cache of stamps costs time where each occurs once.
    found = stamps.str.to_datetime(pattern, time_unit="us", strict=False, cache=digits == 0)
    if found.null_count():
        return None
    return found if ahead is None else (found - ahead).dt.replace_time_zone("UTC")


def _in_ascii(text: str) -> str:
    """The text with decimal digits of any script as 0 to 9."""
    return "".join(str(unicodedata.decimal(character, character)) for character in text)


def _refuse_text(parsed: Parsed, stamps: pl.Series, row: int, remedy: str) -> NoReturn:
    like = "an ISO stamp such as 2024-01-31T08:00:00.020Z" if row == 0 else f"a stamp written like {stamps[0]}"
    other = _ISO.fullmatch(stamps[row].strip())
    fix = "Write all stamps in one form." if other else "Fix the stamp, or delete that line."
    _refuse(parsed, row, like, repr(stamps[row]), remedy or fix)


def _epoch_text(parsed: Parsed, stamps: pl.Series, unit: str) -> NDArray[np.int64]:
    counts = stamps.cast(pl.Int64, strict=False)
    if counts.null_count():
        texts = stamps.str.strip_chars()
        counts = texts.cast(pl.Int64, strict=False)
    if counts.null_count():
        counts = texts.cast(pl.Float64, strict=False)
    if counts.null_count():
        row = int(counts.is_null().arg_max() or 0)
        iso = _ISO.fullmatch(stamps[row].strip())
        remedy = 'Set recordings.time_unit = "iso" in har.toml.' if iso else "Fix the stamp, or delete that line."
        _refuse(parsed, row, f"a number of {unit} since 1970", repr(stamps[row]), remedy)
    return _epoch(parsed, counts, unit)


def _epoch(parsed: Parsed, counts: pl.Series, unit: str) -> NDArray[np.int64]:
    values = counts.to_numpy()
    per_second = TICKS_PER_SECOND[unit]
    far = ~(np.abs(values.astype(np.float64)) <= min(_LAST_SECOND * per_second, _LAST_COUNT - 1024))
    if far.any():
        row = int(np.argmax(far))
        count = abs(float(values[row]))
        if not np.isfinite(count):
            _refuse(parsed, row, f"a number of {unit} since 1970", str(values[row]), "Delete that line.")
        units = [name for name, factor in TICKS_PER_SECOND.items() if 1e9 * factor < count < 4e9 * factor]
        remedy = f'Set recordings.time_unit = "{units[0]}" in har.toml.' if units else "Fix the stamp."
        _refuse(parsed, row, f"{unit} since 1970", f"{counts[row]}, after the year 9999", remedy)
    if values.dtype.kind == "f":
        return np.round(values * (1_000_000 / per_second)).astype(np.int64)
    whole = values.astype(np.int64)
    return whole * (1_000_000 // per_second) if per_second <= 1_000_000 else (whole + 500) // 1_000


def _refuse_far_dates(parsed: Parsed, stamps: pl.Series) -> None:
    """Refuse dates that no calendar of Python's holds; polars panics at them."""
    per_second = TICKS_PER_SECOND[stamps.dtype.time_unit]  # type: ignore[attr-defined]
    counts = stamps.to_physical()
    far = (counts // per_second).abs() > _LAST_SECOND
    if far.any():
        row = int(far.arg_max() or 0)
        year = 1970 + counts[row] // (31_556_952 * per_second)
        _refuse(parsed, row, "a date before the year 9999", f"one in the year {year:,}", "Fix the stamp.")


def _datetimes(stamps: pl.Series, zone: str, faults: Counter[str]) -> NDArray[np.int64]:
    times = stamps.to_physical().to_numpy()
    if stamps.dtype.time_zone is not None:  # type: ignore[attr-defined]
        return times
    utc, found = local_to_utc(times, zone)
    faults.update(found)
    return utc


def _refuse(parsed: Parsed, row: int, expected: str, got: str, remedy: str) -> NoReturn:
    raise RecordingTimeError(where=parsed.at(row), expected=expected, got=got, remedy=remedy, line=parsed.line(row))


def iso(time_us: int | np.int64) -> str:
    """A stamp in UTC, formatted for messages."""
    return (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=int(time_us))).isoformat() + "Z"
