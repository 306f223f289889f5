"""Cut a recording that is longer than its day at midnight, and keep some of its samples; quality is shared out."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.recordings._cleaning import Samples, coverage
from har.recordings._inbox import InboxFile
from har.recordings._reading import Quality, Recording
from har.recordings._wear import GAPS_KEPT, gaps_of, longest, wear_figures, wear_of
from har.schema import FLAGS
from har.settings import Settings


@dataclass(frozen=True)
class Part:
    """The samples of one file on one date.

    Attributes:
        date: the date under which they are stored.
        session: the file's session; on other dates than that of its folder, with the folder's date appended.
        recording: the samples, and the part of the file's quality that is theirs.
    """

    date: dt.date
    session: str
    recording: Recording


def cut_at_midnight(file: InboxFile, recording: Recording, settings: Settings) -> list[Part]:
    """The parts of a recording on each date of the project's time zone, in order.

    A recording within one date, whichever it is, is one part on the date of its folder: folders may be named by the
    date of another time zone. Otherwise each part is stored under its own date. The part on the folder's date keeps its
    session; the others get `<session>-<folder's date>`, so that two nights named alike stay apart. Less than a second
    beyond midnight is no part of its own: exports of a day often end with the first sample of the next.
    """
    times = recording.frame["time"]
    ends = times.gather([0, len(times) - 1]).dt.convert_time_zone(settings.project.timezone).dt.date()
    if ends[0] == ends[1]:
        return [Part(file.date, file.session, recording)]
    dates = _long_enough(times.dt.convert_time_zone(settings.project.timezone).dt.date(), settings.sensors.rate_hz)
    if dates.n_unique() == 1:
        return [Part(file.date, file.session, recording)]
    parts = []
    for date in dates.unique().sort():
        session = file.session if date == file.date else f"{file.session}-{file.date}"
        own = kept(recording, (dates == date).to_numpy(), settings)
        names = [pl.lit(date).alias("date"), pl.lit(session).alias("session")]
        parts.append(Part(date, session, dataclasses.replace(own, frame=own.frame.with_columns(names))))
    return parts


def _long_enough(dates: pl.Series, least: float) -> pl.Series:
    """The date of each sample, in order, where a date with fewer samples than `least` becomes the one before it.

    The first date becomes the one after it.
    """
    counts = dates.value_counts().sort(dates.name)
    long = counts.filter(pl.col("count") >= least)[dates.name]
    if long.is_empty():
        return pl.repeat(dates[0], len(dates), dtype=pl.Date, eager=True)
    before = np.maximum(long.search_sorted(dates, side="right").to_numpy().astype(np.int64) - 1, 0)
    return long.gather(before)


def kept(recording: Recording, rows: NDArray[np.bool_], settings: Settings) -> Recording:
    """The recording with these of its samples only, bool (n,), at least one; segments are numbered anew.

    A hole starts a new segment. What can be counted in the samples is counted; the file's other counts, such as rows
    dropped, are shared out in proportion.
    """
    if rows.all():
        return recording
    frame = recording.frame.filter(pl.Series(rows))
    place = np.flatnonzero(rows)
    starts = (np.diff(place) > 1) | (np.diff(frame["segment"].to_numpy()) != 0)
    segments = np.concatenate([[0], np.cumsum(starts)]).astype(np.int32)
    frame = frame.with_columns(pl.Series("segment", segments))
    return dataclasses.replace(recording, frame=frame, quality=_share(recording.quality, rows, frame, settings))


def _share(quality: Quality, rows: NDArray[np.bool_], frame: pl.DataFrame, settings: Settings) -> Quality:
    times = frame["time"].to_physical().to_numpy()
    flags = frame["flags"].to_numpy()
    counted: dict[str, Any] = {
        "gaps": int(frame["segment"][-1]),
        "longest_gap_s": float(np.diff(times).max(initial=0)) / 1e6,
        "coverage": round(quality.coverage * coverage(times, settings.sensors.rate_hz), 6)
        if quality.resampled
        else coverage(times, quality.measured_rate_hz),
        **{name: int(((flags & FLAGS[name]) > 0).sum()) for name in ("saturated", "stuck", "interpolated")},
        "unlabelled": frame["activity"].null_count(),
        **_wear(times, flags, frame, quality, settings),
    }
    shares: dict[str, Any] = {
        field.name: _proportion(getattr(quality, field.name), rows)
        for field in dataclasses.fields(quality)
        if field.name not in counted and type(getattr(quality, field.name)) is int
    }
    return dataclasses.replace(quality, **counted, **shares)


def _wear(
    times: NDArray[np.int64], flags: NDArray[np.int8], frame: pl.DataFrame, quality: Quality, settings: Settings
) -> dict[str, Any]:
    """Pauses, sleep and non-wear of these samples; the calibration is that of the whole file."""
    segments = frame["segment"].to_numpy()
    values = np.stack([frame[channel].to_numpy() for channel in settings.sensors.channels])
    samples = Samples(times, values, np.empty(0, np.int16), flags, segments)
    return {
        "longest_gaps": longest(gaps_of(times, segments), GAPS_KEPT),
        **wear_figures(wear_of(samples, settings), quality.calibration),
        "calibrated": quality.calibrated,
    }


def _proportion(count: int, rows: NDArray[np.bool_]) -> int:
    """The share of `count` in proportion to the rows, rounded so that the shares of a file's dates add up to it."""
    last = int(np.flatnonzero(rows)[-1]) + 1
    return round(count * last / len(rows)) - round(count * (last - int(rows.sum())) / len(rows))
