"""What is counted before a decision: labels since a day, labels the champion has not seen, and the log of decisions."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from loop_support import fill

from har.lake import Lake
from har.monitoring.decisions import OpenTraining, gather_facts
from har.monitoring.drift import DayReport
from har.schema import EVERYONE
from har.settings import Settings

DAYS = [dt.date(2024, 1, day) for day in range(1, 6)]
EACH = 2 * 29
"""Labelled windows of a subject-day: two minutes of windows of 4 s every 2 s."""


def report(date: dt.date, since: dt.date | None = None) -> DayReport:
    return DayReport(
        date, 1, 3, 90, True, 2.0, since is not None, since is not None, since, (), (), (), (), None, "", ""
    )  # fmt: skip


def tell(lake: Lake, date: dt.date, subject: str, activity: str, name: str, review: str | None = "accepted") -> None:
    """Feedback about the first minute after nine."""
    nine = dt.datetime.combine(date, dt.time(9), dt.UTC)
    row = {
        "date": date,
        "subject": subject,
        "start": nine,
        "end": nine + dt.timedelta(minutes=1),
        "activity": activity,
        "request_id": None,
        "feedback_id": name,
        "received_at": nine,
        "review": review,
    }
    lake.labels.add(pl.DataFrame([row], lake.labels.schema), ["feedback_id"])


@pytest.fixture
def recipe(lake: Lake, settings: Settings) -> dict[str, int]:
    """Two days with labels that the champion saw."""
    fill(lake, settings, DAYS[:2], ["s01", "s02"])
    return {"lake_version": lake.samples.version(), "labels_version": lake.labels.version()}


def facts(lake: Lake, settings: Settings, recipe: dict[str, int], day: DayReport | None = None):
    day = day or report(DAYS[3])
    return gather_facts(lake, settings, day, recipe=recipe, automatic=True, probation=None)


def test_nothing_is_new_after_training(lake: Lake, settings: Settings, recipe: dict[str, int]) -> None:
    found = facts(lake, settings, recipe)
    assert (found.unseen_labelled, found.labelled_since) == (0, 0)
    assert (found.last_training, found.open_training, found.last_asked) == (None, None, None)


def test_labels_of_files_and_of_feedback_count(lake: Lake, settings: Settings, recipe: dict[str, int]) -> None:
    fill(lake, settings, [DAYS[2]], ["s01"])
    fill(lake, settings, [DAYS[3]], ["s01", "s02"], labelled=False)
    assert facts(lake, settings, recipe).unseen_labelled == EACH
    tell(lake, DAYS[3], "s02", "ROW", "nobody looked at it", review=None)
    found = facts(lake, settings, recipe)
    assert (found.unseen_labelled, found.unreviewed) == (EACH, 1)
    tell(lake, DAYS[3], "s02", "ROW", "f1")
    tell(lake, DAYS[3], "s01", "JUMP", "f2")
    assert facts(lake, settings, recipe).unseen_labelled == EACH + EACH // 2
    assert facts(lake, settings, recipe, report(DAYS[3], since=DAYS[3])).labelled_since == EACH // 2
    assert facts(lake, settings, recipe, report(DAYS[3], since=DAYS[1])).labelled_since == 3 * EACH + EACH // 2


def test_other_words_for_what_was_labelled_are_nothing_new(
    lake: Lake, settings: Settings, recipe: dict[str, int]
) -> None:
    tell(lake, DAYS[0], "s01", "ROW", "f1")
    assert facts(lake, settings, recipe).unseen_labelled == 0


def test_another_lake_is_new_as_a_whole(lake: Lake, settings: Settings, recipe: dict[str, int]) -> None:
    assert facts(lake, settings, {"lake_version": 99}).unseen_labelled == 4 * EACH
    assert facts(lake, settings, {"lake_version": recipe["lake_version"]}).unseen_labelled == 0


def decided(lake: Lake, date: dt.date, action: str, *, handled: bool) -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    row = {
        "date": date,
        "subject": EVERYONE,
        "decision_id": f"{date}-{action}",
        "action": action,
        "decided_at": now,
        "handled_at": now if handled else None,
        "attempts": 0,
        "outcome": "",
    }
    lake.decisions.add(pl.DataFrame([row], lake.decisions.schema), ["decision_id"])


def test_the_log_says_when_training_and_labels_were_called_for(
    lake: Lake, settings: Settings, recipe: dict[str, int]
) -> None:
    decided(lake, DAYS[0], "retrain", handled=True)
    decided(lake, DAYS[1], "ask", handled=False)
    decided(lake, DAYS[2], "hold", handled=False)
    decided(lake, DAYS[4], "ask", handled=True)
    found = facts(lake, settings, recipe)
    assert (found.last_training, found.open_training, found.last_asked) == (DAYS[0], None, DAYS[1])
    decided(lake, DAYS[3], "retrain", handled=False)
    found = facts(lake, settings, recipe)
    assert (found.last_training, found.open_training) == (
        DAYS[3],
        OpenTraining(DAYS[3], f"{DAYS[3]}-retrain", 0, ""),
    )
