"""Write the minutes per subject and activity, one Parquet file and one page per day."""

from __future__ import annotations

import datetime as dt
import io
import os
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from har.engine import Each, in_turn, once
from har.files import write_atomically
from har.lake import Lake
from har.pages import render_activity, write_index
from har.predictions import activity_minutes, counted_once
from har.project import Project
from har.settings import Settings


@dataclass(frozen=True)
class SummaryPart:
    """Days to summarise."""

    project: Project
    dates: tuple[dt.date, ...]

    def __str__(self) -> str:
        return f"{len(self.dates)} days"


def summarise(project: Project, *, each: Each = in_turn) -> tuple[Path, ...]:
    """Write the summary of every day with newer predictions; returns the pages."""
    dates = tuple(outdated(project.lake, project.settings))
    return once(each, summarise_dates, SummaryPart(project, dates)) if dates else ()


def summarise_dates(part: SummaryPart) -> tuple[Path, ...]:
    """Write the summary of each day; returns the pages."""
    settings = part.project.settings
    # Read before the predictions: those written meanwhile make the page outdated.
    stamps = _stamps(part.project.lake, part.dates)
    pages = tuple(write_summary(part.project.lake, settings, date, stamps.get(date)) for date in part.dates)
    write_index(settings.path("reports"), title=settings.project.name)
    return pages


def outdated(lake: Lake, settings: Settings) -> list[dt.date]:
    """Dates without a summary, or with other predictions than those that it shows."""
    folder = settings.path("reports") / "activity"

    def shown(date: dt.date) -> int:
        page = folder / f"{date}.html"
        return page.stat().st_mtime_ns // 1000 if page.exists() else 0

    return sorted(date for date, stamp in _stamps(lake).items() if shown(date) != stamp)


def _stamps(lake: Lake, dates: Collection[dt.date] | None = None) -> dict[dt.date, int]:
    """A time stamp per date, in microseconds, that changes with every write to the date's predictions.

    It is the second of the newest write, and a checksum of all of them in place of the fraction: a clock that was put
    back would make newer predictions look older than the page.
    """
    scores, written = lake.scores.extract(), lake.predictions.written()
    if dates is not None:
        chosen = pl.col("date").is_in(list(dates))
        scores, written = scores.filter(chosen), written.filter(chosen)
    seconds = pl.col("scored_at").to_physical() / 1e6
    writes: dict[dt.date, list[tuple[str, str, float]]] = {}
    for date, subject, at in scores.select("date", "subject", seconds).iter_rows():
        writes.setdefault(date, []).append((subject, "scored", at))
    # Predictions of the online service have no row in `scores`.
    for date, subject, at in written.select("date", "subject", pl.col("written_ms") / 1000).iter_rows():
        writes.setdefault(date, []).append((subject, "written", at))
    return {
        date: int(max(when for *_, when in found)) * 1_000_000 + zlib.crc32(repr(sorted(found)).encode()) % 1_000_000
        for date, found in writes.items()
    }


def write_summary(lake: Lake, settings: Settings, date: dt.date, stamp: int | None = None) -> Path:
    """Write `activity/<date>.parquet` and `.html` under the reports' folder.

    Args:
        lake: has the predictions.
        settings: the project's.
        date: the day.
        stamp: the page's time stamp in microseconds, which says what it shows; None: that of the lake now.

    Returns:
        The page.
    """
    stamp = _stamps(lake, [date]).get(date, 0) if stamp is None else stamp
    wanted = [partition for partition in lake.predictions.partitions() if partition[0] == date]
    predictions = counted_once(lake.predictions.read(partitions=wanted))
    summary = activity_minutes(predictions)
    folder = settings.path("reports") / "activity"
    table = io.BytesIO()
    summary.write_parquet(table)
    write_atomically(folder / f"{date}.parquet", table.getvalue())
    page = write_atomically(folder / f"{date}.html", render_activity(summary, settings, date, predictions))
    os.utime(page, ns=(stamp * 1000, stamp * 1000))
    return page
