"""Write the minutes per subject and activity, one Parquet file and one page per day."""

from __future__ import annotations

import colorsys
import datetime as dt
import io
import os
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from har.files import write_atomically
from har.jobs._each import Each, in_turn, once
from har.lake import Lake
from har.predictions import activity_minutes, counted_once
from har.project import Project
from har.settings import Settings

UNCERTAIN = "uncertain"


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
    return tuple(write_summary(part.project.lake, part.project.settings, date) for date in part.dates)


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
    page = write_atomically(folder / f"{date}.html", _page(summary, settings, date, predictions))
    os.utime(page, (began, began))  # predictions written meanwhile are newer and make the page outdated
    return page


def _page(summary: pl.DataFrame, settings: Settings, date: dt.date, predictions: pl.DataFrame) -> str:
    known = settings.activities.all
    # A model with other activities may have answered online.
    others = sorted(set(summary["activity"]) - {*known, UNCERTAIN})
    activities = [*known, *others, UNCERTAIN]
    minutes = {(subject, activity): value for _, subject, activity, value, _ in summary.iter_rows()}
    subjects = summary["subject"].unique().sort().to_list()
    longest = max((sum(minutes.get((s, a), 0.0) for a in activities) for s in subjects), default=0.0)
    environment = Environment(loader=PackageLoader("har"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("activity.html.j2").render(
        project=settings.project.name,
        date=date,
        activities=activities,
        colours=dict(zip(activities, _colours(len(activities)), strict=True)),
        subjects=subjects,
        minutes=minutes,
        longest=longest or 1.0,
        versions=", ".join(str(version) for version in predictions["model_version"].unique().sort()),
        windows=len(predictions),
        confidence=predictions["confidence"].mean() or 0.0,
    )


def _colours(count: int) -> list[str]:
    """Colours with hues spread by the golden angle, so that neighbours differ; the last one, "uncertain", is grey."""
    hues = [(index * 0.381966) % 1 for index in range(count - 1)]
    rgb = [colorsys.hls_to_rgb(hue, 0.55, 0.5) for hue in hues]
    return ["#" + "".join(f"{round(part * 255):02x}" for part in colour) for colour in rgb] + ["#9a9a9a"]
