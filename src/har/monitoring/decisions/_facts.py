"""What a decision rests on besides the day's report, counted and looked up in the lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from har.dataset import is_unreviewed
from har.lake import Lake
from har.monitoring.decisions._labelled import LabelledWindows
from har.monitoring.decisions._log import DecisionLog
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
    learned: int | None = None,
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
        learned: windows that the champion was trained and judged on, for when those versions can no longer be read.
    """
    log = DecisionLog(lake)
    trainings, asked = log.about("retrain"), log.about("ask").filter(pl.col("date") <= report.date)
    labelled = LabelledWindows(lake, settings)
    since = report.since if report.confirmed else None
    return Facts(
        automatic=automatic,
        last_training=_latest(trainings),
        open_training=open_training(trainings),
        last_asked=_latest(asked),
        labelled_since=0 if since is None else labelled.since(since),
        unseen_labelled=max(0, labelled.now() - labelled.then(recipe, learned=learned)),
        probation=probation,
        unreviewed=int(lake.labels.scan().filter(is_unreviewed()).select(pl.len()).collect().item()),
    )


def open_training(trainings: pl.DataFrame) -> OpenTraining | None:
    """The newest of these decisions to train that has not been handled to its end."""
    rows = trainings.filter(pl.col("handled_at").is_null()).sort("decided_at", "date").select(_OPEN)
    return OpenTraining(**rows.row(-1, named=True)) if len(rows) else None


def _latest(rows: pl.DataFrame) -> dt.date | None:
    dates: list[dt.date] = rows["date"].drop_nulls().to_list()
    return max(dates, default=None)
