"""Refuse recordings whose times cannot be right: another date, another unit of the stamps, another rate."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import RecordingTimeError
from har.recordings._stamps import NO_DATES, iso
from har.recordings._table import Parsed
from har.settings import TICKS_PER_SECOND

RATES_APART = 50.0
"""A measured rate this many times the project's, or this much slower, is another unit of time."""
MOST_INTERPOLATED = 0.7
"""A file is refused if more of its samples would be interpolated: its rate is below a third of the project's."""

_DAY_US = 86_400_000_000
_FEW = 50
_FIRST_YEAR = 2000
_FIRST_US = int(dt.datetime(_FIRST_YEAR, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def check_date(
    parsed: Parsed, times: NDArray[np.int64], rows: NDArray[np.int64], date: dt.date, time_unit: str
) -> None:
    """Refuse a recording that starts more than a day from the date of its folder, or pauses for more than a day.

    One day on either side allows for every time zone. `rows` are in time order; `time_unit` is that of har.toml.
    """
    first = int(times[rows[0]])
    midnight = _midnight_us(date)
    if first < _FIRST_US or not midnight - _DAY_US <= first < midnight + 2 * _DAY_US:
        raise RecordingTimeError(
            where=parsed.at(int(rows[0])),
            expected=f"a recording of {date.isoformat()} (± 1 day), the date of its folder"
            if midnight >= _FIRST_US
            else f"a date after {_FIRST_YEAR}",
            got=f"a first stamp of {iso(first)}",
            remedy=_date_remedy(parsed, int(rows[0]), first, date, time_unit),
            line=parsed.line(int(rows[0])),
        )
    pauses = np.diff(times[rows])
    if len(pauses) and pauses.max() > _DAY_US:
        row = int(rows[int(np.argmax(pauses)) + 1])
        raise RecordingTimeError(
            where=parsed.at(row),
            expected="a stamp within a day of the previous one",
            got=iso(times[row]),
            remedy="Delete the lines with a wrong stamp, or split the file by date.",
            line=parsed.line(row),
        )


def _date_remedy(parsed: Parsed, row: int, first: int, date: dt.date, time_unit: str) -> str:
    midnight = _midnight_us(date)
    stamp = _number(parsed.time, row) if midnight >= _FIRST_US else None
    for unit, ticks in TICKS_PER_SECOND.items():
        if (
            stamp is not None
            and unit != time_unit
            and midnight - _DAY_US <= stamp / ticks * 1e6 < midnight + 2 * _DAY_US
        ):
            return f'The stamps look like {_NAMES[unit]}: set recordings.time_unit = "{unit}" in har.toml.'
    if first < _FIRST_US:
        return NO_DATES
    return (
        f"Move the file to the folder {iso(first)[:10]}/ if that is its date; otherwise correct the stamps, or "
        "recordings.time_unit and project.timezone in har.toml."
    )


def check_rate(
    parsed: Parsed,
    times: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    rate_hz: float,
    nominal_hz: float,
    max_gap_s: float,
) -> None:
    """Refuse samples so far apart or so close together that the stamps are in another unit, or no times of samples."""
    if len(rows) < 3:
        return
    interval_s = float(np.median(np.diff(times))) / 1e6
    ratio = rate_hz / nominal_hz
    if interval_s <= max_gap_s and 1 / RATES_APART <= ratio <= RATES_APART:
        return
    span_s = float(times[-1] - times[0]) / 1e6
    slow = f"samples at most {max_gap_s:g} s apart (recordings.max_gap_s)"
    raise RecordingTimeError(
        where=parsed.where,
        expected=slow if interval_s > max_gap_s else f"about {nominal_hz:g} samples per second (sensors.rate_hz)",
        got=f"stamps {interval_s:g} s apart"
        if interval_s > max_gap_s
        else f"{rate_hz:,.0f} per second: {len(rows):,} rows in {span_s:.3g} s",
        remedy=_rate_remedy(ratio),
        line=parsed.line(int(rows[1])),
    )


def _rate_remedy(ratio: float) -> str:
    for power in (3, 6, 9):
        if 0.2 < ratio / 10**power < 5 or 0.2 < ratio * 10**power < 5:
            how = "too close together: seconds were taken for milliseconds" if ratio > 1 else "too far apart"
            return (
                f"The stamps are about {10**power:,} times {how}, or the like. Convert or import the recording again "
                "with the right unit of time."
            )
    if ratio < 1:
        return "Export every sample with its own stamp, with milliseconds, or lower sensors.rate_hz in har.toml."
    return "Correct the stamps, or sensors.rate_hz in har.toml."


def check_interpolated(parsed: Parsed, interpolated: int, samples: int, rate_hz: float, nominal_hz: float) -> None:
    """Refuse a recording of which too much would be interpolated between few measured samples."""
    if samples < _FEW or interpolated <= MOST_INTERPOLATED * samples:
        return
    raise RecordingTimeError(
        where=parsed.where,
        expected=f"at most {MOST_INTERPOLATED:.0%} interpolated samples at {nominal_hz:g} Hz (sensors.rate_hz)",
        got=f"{interpolated / samples:.0%}, since the file has about {rate_hz:.3g} samples per second",
        remedy=f"Record at {nominal_hz:g} Hz; for a project of such recordings lower sensors.rate_hz in har.toml.",
        line=parsed.line(0),
    )


def _midnight_us(date: dt.date) -> int:
    return int(dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC).timestamp()) * 1_000_000


def _number(stamps: pl.Series, row: int) -> float | None:
    """A stamp as a number; None if it is text or a date."""
    if stamps.dtype.is_numeric() or stamps.dtype == pl.String:
        number = pl.Series([str(stamps[row]).strip()]).cast(pl.Float64, strict=False)[0]
        return None if number is None else float(number)
    return None
