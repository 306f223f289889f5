"""A clock that was ahead and is put right, or is put back: nothing newer is taken for older, and nothing repeats."""

from __future__ import annotations

import datetime as dt

import polars as pl
from days_support import FIRST, Live
from run_support import monitor, score

from har.jobs._due import to_send
from har.jobs.summarise import outdated
from har.lake import Table
from har.monitoring import DecisionLog
from har.monitoring.decisions import Decision
from har.project import Project

YEAR = dt.timedelta(days=365)


def shift(table: Table, column: str, by: dt.timedelta) -> None:
    """Let all rows be written at another time."""
    rows = table.read()
    table.replace(rows.with_columns(pl.col(column) + by), table.partitions())


def test_a_day_with_new_profiles_is_judged_again_after_the_clock_was_put_back(loop: Project, live: Live) -> None:
    live(0)
    assert [day.date for day in monitor().days] == [FIRST]
    shift(loop.lake.drift, "made_at", YEAR)
    assert monitor().days == ()
    loop.lake.profiles.replace(pl.DataFrame(schema=loop.lake.profiles.schema), [(FIRST, "s01")])
    assert score(rescore=True).partitions == 1
    assert [day.date for day in monitor().days] == [FIRST]
    assert monitor().days == ()


def test_profiles_of_a_clock_that_was_ahead_are_judged_once(loop: Project, live: Live) -> None:
    live(0)
    shift(loop.lake.profiles, "made_at", YEAR)
    assert [day.date for day in monitor().days] == [FIRST]
    assert monitor().days == ()


def test_the_newest_decision_is_the_one_made_last(loop: Project) -> None:
    log = DecisionLog(loop.lake)
    first, second = (Decision(FIRST, action, (action,), "", {}) for action in ("watch", "alert"))
    log.add(first, 1)
    shift(loop.lake.decisions, "decided_at", YEAR)
    log.add(second, 1)
    assert [row.action for row in log.rows()] == ["watch", "alert"]


def test_an_event_that_was_sent_in_the_future_is_sent_again(loop: Project) -> None:
    log = DecisionLog(loop.lake)
    log.add(Decision(FIRST, "retrain", ("Drift.",), "har.drift.confirmed", {"since": str(FIRST)}), 1)
    (row,) = log.rows()
    now = dt.datetime.now(dt.UTC)
    champion = loop.registry.champion()
    log.mark([row], emitted_at=now)
    assert to_send(loop, champion)[0] == []
    log.mark([row], emitted_at=now + YEAR)
    assert [one.decision_id for one in to_send(loop, champion)[0]] == [row.decision_id]


def test_a_summary_is_outdated_by_predictions_that_look_older_than_it(loop: Project, live: Live) -> None:
    live(0)
    lake, settings = loop.lake, loop.settings
    assert outdated(lake, settings) == []
    rows = lake.scores.read(partitions=[(FIRST, "s01")])
    assert len(rows) == 1
    lake.scores.replace(rows.with_columns(pl.col("scored_at") - YEAR), [(FIRST, "s01")])
    assert outdated(lake, settings) == [FIRST]
