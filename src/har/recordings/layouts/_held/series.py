"""One sensor's samples with stamps of their own, and the recording that two of them make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import RecordingTimeError
from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._clocks import UNCOMPARED, Track, on_one_clock
from har.recordings.layouts._held.identity import Identity
from har.recordings.layouts._layout import Clock, RawRecording, Signal, Source
from har.recordings.layouts._tables.columns import offset_s
from har.recordings.layouts._tables.text import Rows

OFFSET_OPTION = {
    "max-offset": "largest offset in s between the two sensors' clocks that is measured by their movements and "
    "corrected; 0: stamps are taken as they are; default: recordings.max_clock_offset_s"
}
UNMATCHED = "samples without a matching sample of the other sensor, left out"
_MOST = 2.0**62
_NO_STAMP = "rows whose stamp is no whole number"


@dataclass(frozen=True, eq=False)
class Series:
    """One sensor's samples.

    Attributes:
        times_us: int64 (n,), µs, in the order of the file.
        values: float64 (n, 3).
        unit: as in `Signal`.
        faults: number of rows left out, by reason.
    """

    times_us: NDArray[np.int64]
    values: NDArray[np.float64]
    unit: str
    faults: Counter[str] = field(default_factory=Counter)

    def on(self, times_us: NDArray[np.int64], max_gap_s: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The values at the stamps of another sensor, in any order, and where they are valid."""
        if np.array_equal(times_us, self.times_us):
            return self.values, np.ones(len(times_us), np.bool_)
        order = np.argsort(times_us, kind="stable")
        values, valid = np.empty((len(times_us), 3)), np.empty(len(times_us), np.bool_)
        values[order], valid[order] = on_stamps_of(times_us[order], self.times_us, self.values, max_gap_s)
        return values, valid


def whole_numbers(rows: Rows, column: str) -> tuple[Rows, NDArray[np.int64]]:
    """A column of text as int64, exactly; rows where it is no whole number are left out and counted.

    A spreadsheet that wrote 1.69850114e+18 lost digits: it is read as far as it goes.
    """
    numbers = rows.frame[column].cast(pl.Int64, strict=False)
    if numbers.null_count():
        decimal = rows.frame[column].cast(pl.Float64, strict=False).round()
        numbers = numbers.fill_null(decimal.set(decimal.abs() >= _MOST, None).cast(pl.Int64, strict=False))
    rows = rows.keep(numbers.is_not_null().to_numpy(), _NO_STAMP)
    return rows, numbers.drop_nulls().to_numpy().astype(np.int64)


def to_micros(nanoseconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole ns as µs, rounded."""
    return (nanoseconds + 500) // 1000


def recording(
    where: str,
    known: Identity,
    clock: Clock,
    accelerometer: Series,
    gyroscope: Series | None,
    *,
    max_gap_s: float,
    labels: pl.Series | None = None,
    notes: Sequence[str] = (),
    max_offset_s: float = 0.0,
) -> RawRecording:
    """The recording of both sensors on the accelerometer's stamps; the gyroscope is interpolated.

    Args:
        where: the file, as messages name it.
        known: who, which session and what.
        clock: what both sensors' stamps count.
        accelerometer: acceleration with gravity.
        gyroscope: the angular rate, by the same clock; None if there is none.
        max_gap_s: no interpolation between samples that are further apart.
        labels: String (n,), at the accelerometer's samples; None: `known.activity`.
        notes: what was done to the recording, for the report and the lake.
        max_offset_s: the largest offset of the two sensors' clocks that is corrected, see `on_one_clock`; 0: they have
            one clock.

    Raises:
        RecordingTimeError: the sensors were not on at the same time, or their clocks are further apart.
    """
    counted = accelerometer.faults
    times_us, values, rotation = accelerometer.times_us, accelerometer.values, None
    if gyroscope is not None:
        if max_offset_s:
            gyroscope, words = _on_one_clock(where, accelerometer, gyroscope, max_offset_s)
            notes = [*notes, *words]
        turned, valid = gyroscope.on(times_us, max_gap_s)
        if not valid.any():
            raise RecordingTimeError(
                where=where,
                expected="accelerometer and gyroscope at the same time",
                got="none: their stamps do not overlap",
                remedy="Check that both are of one recording, and that neither paused.",
            )
        counted = counted + gyroscope.faults + Counter({UNMATCHED: int((~valid).sum())})
        times_us, values = times_us[valid], values[valid]
        rotation = Signal(turned[valid], gyroscope.unit)
        labels = None if labels is None else labels.filter(pl.Series(valid))
    return RawRecording(
        where=where,
        subject=known.subject,
        session=known.session,
        times_us=times_us,
        clock=clock,
        accelerometer=Signal(values, accelerometer.unit),
        gyroscope=rotation,
        labels=labels if labels is not None else known.activity or None,
        placement=known.placement,
        device=known.device,
        faults=+counted,
        notes=tuple(notes),
    )


def largest_offset(source: Source) -> float:
    """The largest offset of two sensors' clocks that is corrected, in s: the option's, else har.toml's.

    Raises:
        SettingsError: it is no such number.
    """
    return offset_s(source.options.get("max-offset", str(source.settings.recordings.max_clock_offset_s)))


def _on_one_clock(
    where: str, accelerometer: Series, gyroscope: Series, max_offset_s: float
) -> tuple[Series, tuple[str, ...]]:
    """The gyroscope by the accelerometer's clock, and what was done to it.

    An app that says that its stamps are of one clock is believed where the movements do not tell.
    """
    order = np.argsort(accelerometer.times_us, kind="stable")
    moved = Track(accelerometer.times_us[order], accelerometer.values[order])
    order = np.argsort(gyroscope.times_us, kind="stable")
    stamps_us, values = gyroscope.times_us[order], gyroscope.values[order]
    times_us, words = on_one_clock(
        moved, Track(stamps_us, values), largest_s=max_offset_s, where=where, other="the gyroscope"
    )
    if not words or words == UNCOMPARED:
        return gyroscope, ()
    return replace(gyroscope, times_us=times_us, values=values), (words,)


def spread(stamps_us: NDArray[np.int64], counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Stamps of the samples of packets, int64 µs (sum of counts,), by each packet's stamp, which is its first sample's.

    Samples lie evenly between a packet's stamp and the next one's. Where the next packet is late by half a packet or
    more, and after the last, the usual interval is taken: what is missing stays a gap.

    Args:
        stamps_us: int64 (m,), increasing.
        counts: samples of each packet, 1 or more.
    """
    sizes = np.asarray(counts, np.int64)
    if len(stamps_us) < 2:
        return np.repeat(stamps_us, sizes)
    intervals = np.diff(stamps_us) / sizes[:-1]
    usual = float(np.median(intervals))
    steps = np.append(np.where((intervals > 1.5 * usual) | (intervals <= 0), usual, intervals), usual)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    stamps: NDArray[np.int64] = np.repeat(stamps_us, sizes) + np.round(within * np.repeat(steps, sizes)).astype(
        np.int64
    )
    return stamps
