"""Convert the stamps of any table to int64 µs: ISO or other text, counts of a unit, Parquet timestamps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import RecordingTimeError
from har.recordings._local_time import local_to_utc
from har.recordings.layouts._layout import Clock
from har.recordings.layouts._plausible import (
    FIRST_US,
    distinct,
    is_count,
    rate_hz,
    wrong_date,
    wrong_rate,
)
from har.settings import TICKS_PER_SECOND

UNITS = ("iso", *TICKS_PER_SECOND, "samples")
CLOCKS = ("auto", "dates", "device")
ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ])\d{2}:\d{2}:\d{2}(?:\.\d+)?(Z|[+-]\d{2}(?::?\d{2})?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?", re.ASCII)
_DATES = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d-%b-%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
)
_SHORT_DATES = ("%d/%m/%y", "%m/%d/%y", "%d.%m.%y")
_HOURS = ("%H:%M:%S%.f", "%H:%M:%S:%3f", "%H:%M:%S,%3f", "%I:%M:%S%.f %p", "%H:%M")
_SAMPLE = 10_000
_HALF_DAY_US = 43_200_000_000
_WHOLE = 2**62
"""µs; beyond it, sums of stamps would overflow."""


@dataclass(frozen=True)
class ClockOptions:
    """How stamps are written.

    Attributes:
        unit: one of `UNITS`.
        format: strptime codes of text that is not ISO; "": ISO.
        clock: "dates", "device" (they count from an unknown start), or "auto": by their size.
        slowest_hz: no recording has a lower rate.
        decimal: the decimal mark of counts in text.
    """

    unit: str
    format: str
    clock: str
    slowest_hz: float
    decimal: str = "."

    @property
    def times_of_day(self) -> bool:
        """Whether stamps are hours and minutes without a date; they count from midnight."""
        return bool(self.format) and not any(code in self.format for code in ("%d", "%j", "%e", "%D", "%F", "%c", "%s"))


class Stamps:
    """Collects the stamps of one table, block by block.

    Args:
        where: the file, as messages name it.
        options: how stamps are written.
        zone: the zone of stamps without an offset.

    Attributes:
        faults: the number of stamps by what the zone's changes of the clock did to them, after `result`.
    """

    def __init__(self, where: str, options: ClockOptions, zone: str) -> None:
        self._where = where
        self._options = options
        self._zone = zone
        self._parts: list[NDArray[np.int64]] = []
        self._pattern = options.format
        self._naive: bool | None = None
        self._sample = np.empty(0)
        self.faults: Counter[str] = Counter()

    def add(self, stamps: pl.Series, lines: NDArray[np.int64]) -> None:
        """Convert the stamps of further rows.

        Args:
            stamps: text, numbers or timestamps, without null.
            lines: int64 (n,), the line of each.

        Raises:
            RecordingTimeError: a stamp cannot be read; the message names the first such line, and the option.
        """
        if not len(stamps):
            return
        if isinstance(stamps.dtype, (pl.Datetime, pl.Date)):
            self._parts.append(self._instants(stamps.cast(pl.Datetime("us", getattr(stamps.dtype, "time_zone", None)))))
        elif self._options.unit == "iso":
            self._parts.append(self._text(stamps.cast(pl.String), lines))
        else:
            self._parts.append(self._counts(stamps, lines))

    def result(self) -> tuple[NDArray[np.int64], Clock]:
        """All stamps, int64 µs (n,), since 1970 in UTC or since an unknown start, and which of the two.

        Raises:
            RecordingTimeError: rate or dates are implausible; the message names the unit that would be plausible.
        """
        times = np.concatenate(self._parts) if self._parts else np.empty(0, np.int64)
        self._parts = []
        if not len(times):
            return times, "utc"
        options = self._options
        if options.times_of_day:
            times = times + np.cumsum(np.diff(times, prepend=times[:1]) < -_HALF_DAY_US) * 2 * _HALF_DAY_US
        counts = (
            options.clock == "device"
            or options.times_of_day
            or (options.clock == "auto" and options.unit != "iso" and self._naive is None and is_count(times))
        )
        judged = times if counts else times[times != 0]  # a file of dates has zeros where the device had no time
        fault = (
            self._rounded(times)
            or wrong_rate(judged, options.slowest_hz)
            or ("" if counts or not len(judged) else wrong_date(judged))
        )
        if fault:
            self._refuse_implausible(judged, fault)
        if self._naive and self._zone != "UTC" and not counts:
            unset = times == 0  # the reader leaves these rows out
            times, self.faults = local_to_utc(times, self._zone)
            times[unset] = 0
        return times, "device" if counts else "utc"

    def _rounded(self, times: NDArray[np.int64]) -> str:
        """Whether stamps that differ became equal in µs, as fractions of too small a unit do."""
        first = self._sample
        ticks, stamps = len(np.unique(first)), len(distinct(times[: len(first)]))
        return f"{ticks:,} stamps, of which {stamps:,} differ by a µs" if stamps < ticks / 2 else ""

    def _instants(self, stamps: pl.Series) -> NDArray[np.int64]:
        naive = stamps.dtype.time_zone is None  # type: ignore[attr-defined]
        if self._naive is not None and self._naive != naive:
            raise RecordingTimeError(
                where=self._where,
                expected="stamps that all have an offset, or all have none",
                got="both",
                remedy="Export the file again with one kind of stamp.",
            )
        self._naive = naive
        return stamps.to_physical().to_numpy().astype(np.int64)

    def _text(self, stamps: pl.Series, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        texts = stamps.str.strip_chars()
        if not self._pattern:
            match = ISO.fullmatch(texts[0])
            if match is None:
                self._refuse_text(texts[0], int(lines[0]), texts.head(1000).to_list())
            self._pattern = f"%Y-%m-%d{match[1]}%H:%M:%S%.f{'%#z' if match[2] else ''}"
        try:
            if self._options.times_of_day:
                read = texts.str.to_time(self._pattern, strict=False).to_physical() // 1000
                read = read.cast(pl.Datetime("us"))
            else:
                read = texts.str.to_datetime(self._pattern, time_unit="us", strict=False)
        except pl.exceptions.PolarsError:
            read = pl.Series([None] * len(texts), dtype=pl.Datetime("us"))
        if read.null_count():
            row = int(read.is_null().arg_max() or 0)
            if self._options.format or ISO.fullmatch(texts[row]) is None:
                self._refuse_text(texts[row], int(lines[row]), [texts[row]])
            self._refuse(int(lines[row]), f"a stamp written like {texts[0]}", repr(texts[row]), "Fix the stamp.")
        return self._instants(read)

    def _counts(self, stamps: pl.Series, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        options, unit = self._options, self._options.unit
        if stamps.dtype == pl.String:
            texts = stamps.str.strip_chars()
            if options.decimal == ",":
                texts = texts.str.replace(",", ".", literal=True)
            numbers = texts.cast(pl.Int64, strict=False)
            if numbers.null_count():
                numbers = texts.cast(pl.Float64, strict=False)
            if numbers.null_count():
                self._refuse_number(texts, int(numbers.is_null().arg_max() or 0), lines)
        elif stamps.dtype.is_numeric():
            numbers = stamps
        else:
            self._refuse(int(lines[0]), "stamps as text, numbers or timestamps", str(stamps.dtype), "Export it again.")
        values = numbers.to_numpy()
        per_second = TICKS_PER_SECOND[unit]
        micros = values.astype(np.float64) * (1e6 / per_second)
        if not len(self._sample):
            self._sample = values[:_SAMPLE].astype(np.float64)
        far = ~(np.abs(micros) < _WHOLE)
        if far.any():
            row = int(np.argmax(far))
            fit = plausible_units(self._sample, options)
            remedy = _named(fit) if fit else _unit_of(float(values[row]))
            self._refuse(int(lines[row]), f"a number of {unit}", repr(stamps[row]), remedy)
        if values.dtype.kind == "f":
            return np.round(micros).astype(np.int64)
        whole = values.astype(np.int64)
        return whole * (1_000_000 // per_second) if per_second <= 1_000_000 else (whole + 500) // 1_000

    def _refuse_implausible(self, times: NDArray[np.int64], fault: str) -> NoReturn:
        options = self._options
        fit = plausible_units(self._sample, options)
        if fit:
            remedy = _named(fit)
        elif (early := int((times < FIRST_US).sum())) < len(times) / 2 and "Hz" not in fault and early:
            remedy = f"The device's clock was not set in {early:,} of {len(times):,} rows: delete them."
        elif "Hz" in fault:
            remedy = "Check the options time and time-unit: the column may be no time."
        else:
            remedy = (
                "The device's clock was not set, or the option time-unit or time-format is wrong. If the clock was not "
                "set, add -o clock=device: dates are assigned (--first-day)."
            )
        raise RecordingTimeError(
            where=self._where,
            expected=f"{options.slowest_hz:g} to 5,000 samples per second, of a date from 2000 to today",
            got=f"{fault}, when read as {options.format or options.unit}",
            remedy=remedy,
        )

    def _refuse_text(self, text: str, line: int, texts: Sequence[str]) -> NoReturn:
        expected = (
            f"a stamp of the form {self._pattern}" if self._pattern else "an ISO stamp such as 2024-01-31T08:00:00.020Z"
        )
        if _NUMBER.fullmatch(text):
            remedy = _unit_of(float(text.replace(",", ".")))
        else:
            forms = guess_formats(texts)
            shown = " or ".join(f"-o 'time-format={form}'" for form in forms)
            both = " (day first or month first: the file does not tell)" if len(forms) > 1 else ""
            remedy = (
                f"Add {shown}{both}." if forms else "Name its form, for example -o 'time-format=%d/%m/%Y %H:%M:%S%.f'."
            )
        self._refuse(line, expected, repr(text), remedy)

    def _refuse_number(self, texts: pl.Series, row: int, lines: NDArray[np.int64]) -> NoReturn:
        text = texts[row]
        remedy = f"Fix the stamp in line {lines[row]}."
        if ISO.fullmatch(text):
            remedy = "Add -o time-unit=iso."
        elif _NUMBER.fullmatch(text):
            remedy = "Add -o decimal=comma."
        elif forms := guess_formats([text]):
            remedy = (
                f"Add -o time-unit=iso and {' or '.join(f'''-o 'time-format={form}' '''.strip() for form in forms)}."
            )
        self._refuse(int(lines[row]), f"a number of {self._options.unit}", repr(text), remedy)

    def _refuse(self, line: int, expected: str, got: str, remedy: str) -> NoReturn:
        where = f"{self._where}, line {line}"
        raise RecordingTimeError(where=where, expected=expected, got=got, remedy=remedy, line=line)


def plausible_units(values: NDArray[np.float64], options: ClockOptions) -> list[str]:
    """The units that would make rate and dates of these counts plausible, other than the one that is named."""
    fit = []
    for unit, per_second in TICKS_PER_SECOND.items():
        micros = values * (1e6 / per_second)
        if unit == options.unit or not len(values) or not (np.abs(micros) < _WHOLE).all():
            continue
        times = np.round(micros).astype(np.int64)
        judged = times[times != 0]
        counts = is_count(times) and options.clock != "dates"
        rated = rate_hz(times) and not wrong_rate(times, options.slowest_hz)
        if rated and (counts or not wrong_date(judged)):
            fit.append(unit)
    return fit


def _named(units: Sequence[str]) -> str:
    return f"The stamps look like {' or '.join(units)}: add -o time-unit={units[0]}."


def guess_formats(texts: Sequence[str]) -> list[str]:
    """The strptime codes that read every one of some stamps; several if day and month cannot be told apart."""
    series = pl.Series(texts, dtype=pl.String).str.strip_chars()
    found = []
    for form in [f"{date}{gap}{hour}" for date in (*_DATES, *_SHORT_DATES) for gap in (" ", "T") for hour in _HOURS]:
        read = series.str.to_datetime(form, time_unit="us", strict=False)
        years = read.dt.year()
        if not read.null_count() and bool(years.is_between(1970, 2200).all()):
            found.append(form)
    return found or [form for form in _HOURS[:-1] if not series.str.to_time(form, strict=False).null_count()]


def _unit_of(count: float) -> str:
    units = [name for name, factor in TICKS_PER_SECOND.items() if 9e8 * factor < abs(count) < 4e9 * factor]
    if units:
        return f"The stamps look like {units[0]} since 1970: add -o time-unit={units[0]}."
    return "For counts add -o time-unit=s, ms, us or ns, whichever they are."
