"""A date's predictions in, minutes per subject and activity out: one Parquet file and one page."""

from __future__ import annotations

import colorsys
import datetime as dt
import io
from pathlib import Path

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from har.files import write_atomically
from har.lake import Lake
from har.scoring import summarise
from har.settings import Settings

UNCERTAIN = "uncertain"


def outdated(lake: Lake, settings: Settings) -> list[dt.date]:
    """Dates that were scored after their summary was written, or have none: also what a killed run left behind."""
    scored = lake.scores.read(columns=["date", "scored_at"]).group_by("date").agg(pl.col("scored_at").max())
    folder = settings.path("reports") / "activity"

    def written_at(date: dt.date) -> float:
        page = folder / f"{date}.html"
        return page.stat().st_mtime if page.exists() else 0.0

    return sorted(date for date, scored_at in scored.iter_rows() if written_at(date) < scored_at.timestamp())


def write_summary(lake: Lake, settings: Settings, date: dt.date) -> Path:
    """Write `activity/<date>.parquet` and `.html` under the reports' folder.

    Returns:
        The page.
    """
    wanted = [partition for partition in lake.predictions.partitions() if partition[0] == date]
    predictions = lake.predictions.read(partitions=wanted)
    summary = summarise(predictions, settings)
    folder = settings.path("reports") / "activity"
    table = io.BytesIO()
    summary.write_parquet(table)
    write_atomically(folder / f"{date}.parquet", table.getvalue())
    return write_atomically(folder / f"{date}.html", _page(summary, settings, date, predictions))


def _page(summary: pl.DataFrame, settings: Settings, date: dt.date, predictions: pl.DataFrame) -> str:
    activities = [*settings.activities.all, UNCERTAIN]
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
    """Hues spread by the golden angle, so that neighbours differ; the last one, for "uncertain", is grey."""
    hues = [(index * 0.381966) % 1 for index in range(count - 1)]
    rgb = [colorsys.hls_to_rgb(hue, 0.55, 0.5) for hue in hues]
    return ["#" + "".join(f"{round(part * 255):02x}" for part in colour) for colour in rgb] + ["#9a9a9a"]
