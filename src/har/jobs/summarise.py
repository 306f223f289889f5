"""Write the minutes per subject and activity, one Parquet file and one page per day."""

from __future__ import annotations

import datetime as dt
import io
import os
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from har.files import write_atomically
from har.jobs._each import Each, in_turn, once
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
    pages = tuple(write_summary(part.project.lake, settings, date) for date in part.dates)
    write_index(settings.path("reports"), title=settings.project.name)
    return pages


def outdated(lake: Lake, settings: Settings) -> list[dt.date]:
    """Dates without a summary, or with predictions that are newer than it."""
    scored = lake.scores.read(columns=["date", "scored_at"]).group_by("date").agg(pl.col("scored_at").max())
    newest = {date: scored_at.timestamp() for date, scored_at in scored.iter_rows()}
    # Predictions of the online service have no row in `scores`.
    for (date, _), written_at in lake.predictions.written_at().items():
        newest[date] = max(newest.get(date, 0.0), written_at)
    folder = settings.path("reports") / "activity"

    def summarised_at(date: dt.date) -> float:
        page = folder / f"{date}.html"
        return page.stat().st_mtime if page.exists() else 0.0

    return sorted(date for date, written_at in newest.items() if summarised_at(date) < written_at)


def write_summary(lake: Lake, settings: Settings, date: dt.date) -> Path:
    """Write `activity/<date>.parquet` and `.html` under the reports' folder.

    Returns:
        The page.
    """
    began = time.time()
    wanted = [partition for partition in lake.predictions.partitions() if partition[0] == date]
    predictions = counted_once(lake.predictions.read(partitions=wanted))
    summary = activity_minutes(predictions)
    folder = settings.path("reports") / "activity"
    table = io.BytesIO()
    summary.write_parquet(table)
    write_atomically(folder / f"{date}.parquet", table.getvalue())
    page = write_atomically(folder / f"{date}.html", render_activity(summary, settings, date, predictions))
    os.utime(page, (began, began))  # predictions written meanwhile are newer and make the page outdated
    return page
