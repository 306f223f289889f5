"""What a decision rests on besides the day's report, counted and looked up in the lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from har.dataset import is_unreviewed, window_labels
from har.lake import Lake, Partition
from har.monitoring.decisions._policy import Facts, OpenTraining
from har.monitoring.decisions._probation import ProbationVerdict
from har.monitoring.drift import DayReport
from har.settings import Settings

_OPEN = ("date", "decision_id", "attempts", "outcome")


def gather_facts(
    lake: Lake,
    settings: Settings,
    report: DayReport,
    *,
    recipe: Mapping[str, Any],
    automatic: bool,
    probation: ProbationVerdict | None,
) -> Facts:
    """Count and look up the facts for `decide`.

    Labels are counted as the gate would see them: those of files and of persons, on windows whose samples are in the
    lake. Feedback that nobody has reviewed starts nothing.

    Args:
        lake: the tables.
        settings: how windows are cut.
        report: the day's.
        recipe: the champion's, as registered: it has the versions of the tables that the champion was trained on.
        automatic: whether trainings may start by themselves.
        probation: of the champion, if it runs.
    """
    rows = lake.decisions.read(columns=[*_OPEN, "action", "handled_at", "decided_at"])
    trainings = rows.filter(pl.col("action") == "retrain")
    asked = rows.filter((pl.col("action") == "ask") & (pl.col("date") <= report.date))
    return Facts(
        automatic=automatic,
        last_training=_latest(trainings),
        open_training=open_training(trainings),
        last_asked=_latest(asked),
        labelled_since=labelled_since(lake, settings, report.since) if report.confirmed and report.since else 0,
        unseen_labelled=unseen_labelled(lake, settings, recipe),
        probation=probation,
        unreviewed=int(lake.labels.scan().filter(is_unreviewed()).select(pl.len()).collect().item()),
    )


def open_training(trainings: pl.DataFrame) -> OpenTraining | None:
    """The newest of these decisions to train that has not been handled to its end."""
    rows = trainings.filter(pl.col("handled_at").is_null()).sort("decided_at", "date").select(_OPEN)
    return OpenTraining(**rows.row(-1, named=True)) if len(rows) else None


def labelled_since(lake: Lake, settings: Settings, since: dt.date) -> int:
    """How many windows of this day and later have a label."""
    days = [partition for partition in lake.samples.partitions() if partition[0] >= since]
    return len(window_labels(lake, settings, partitions=days))


def unseen_labelled(lake: Lake, settings: Settings, recipe: Mapping[str, Any]) -> int:
    """How many more labelled windows there are than when the recipe was made; reads only what changed since."""
    samples, labels = int(recipe["lake_version"]), int(recipe.get("labels_version", -1))
    if samples > lake.samples.version() or labels > lake.labels.version():  # trained on another lake
        return len(window_labels(lake, settings))
    changed = {*lake.samples.changed_since(samples), *_around(lake.labels.changed_since(labels))}
    now = window_labels(lake, settings, partitions=changed)
    then = window_labels(lake, settings, version=samples, labels_version=labels, partitions=changed)
    return max(0, len(now) - len(then))


def _around(partitions: list[Partition]) -> set[Partition]:
    """With the days before and after: a recording's date is local, a feedback's is UTC."""
    return {(date + dt.timedelta(days=shift), subject) for date, subject in partitions for shift in (-1, 0, 1)}


def _latest(rows: pl.DataFrame) -> dt.date | None:
    dates: list[dt.date] = rows["date"].drop_nulls().to_list()
    return max(dates, default=None)
