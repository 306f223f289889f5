"""The page about one day's activities: minutes per subject and activity."""

from __future__ import annotations

import colorsys
import datetime as dt

import polars as pl

from har.pages._render import render
from har.plausibility import NO_SIGNAL
from har.predictions import UNCERTAIN, with_signal
from har.settings import Settings


def render_activity(summary: pl.DataFrame, settings: Settings, date: dt.date, predictions: pl.DataFrame) -> str:
    """One self-contained HTML page.

    Args:
        summary: of the date, as `har.predictions.activity_minutes` makes it.
        settings: the project's activities and name.
        date: the day.
        predictions: those that the summary counts.
    """
    known = settings.activities.all
    # Another model may have answered online, with activities that the settings do not name.
    others = sorted(set(summary["activity"]) - {*known, UNCERTAIN, NO_SIGNAL})
    activities = [*known, *others, UNCERTAIN]
    times = summary.select("subject", "activity", "minutes")
    minutes = {(subject, activity): value for subject, activity, value in times.iter_rows()}
    subjects = summary["subject"].unique().sort().to_list()
    by_activity = {a: sum(minutes.get((s, a), 0.0) for s in subjects) for a in activities}
    # Time without a signal is no time of an activity: it has a column of its own, and counts towards no total.
    by_subject = {s: sum(minutes.get((s, a), 0.0) for a in activities) for s in subjects}
    silent = {s: minutes[s, NO_SIGNAL] for s in subjects if (s, NO_SIGNAL) in minutes}
    answered = with_signal(predictions)
    unlike = summary.group_by("subject").agg(pl.col("unknown_minutes").sum()).filter(pl.col("unknown_minutes") > 0)
    return render(
        "activity.html.j2",
        title=settings.project.name,
        date=date,
        activities=activities,
        colours=dict(zip(activities, _colours(len(activities)), strict=True)),
        subjects=subjects,
        time=minutes,
        by_activity=by_activity,
        by_subject=by_subject,
        longest=max(by_subject.values(), default=0.0) or 1.0,
        versions=predictions["model_version"].unique().sort().to_list(),
        windows=len(predictions),
        silent=silent,
        unlike=dict(unlike.iter_rows()),
        windows_unlike=int(predictions["unknown"].fill_null(False).sum()),
        smoothed=predictions["smoothed"].is_not_null().any(),
        windows_without_signal=len(predictions) - len(answered),
        confidence=answered["confidence"].mean(),
        uncertain=UNCERTAIN,
    )


def _colours(count: int) -> list[str]:
    """Hues spread by the golden angle, so that neighbours differ; the last one, for "uncertain", is grey."""
    hues = [(index * 0.381966) % 1 for index in range(count - 1)]
    rgb = [colorsys.hls_to_rgb(hue, 0.55, 0.5) for hue in hues]
    return ["#" + "".join(f"{round(part * 255):02x}" for part in colour) for colour in rgb] + ["#9a9a9a"]
