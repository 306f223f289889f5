"""`monitor` when things break between its steps: what is kept then, and what the next run makes of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from run_support import monitor, sent, train
from tests_support import run_until_commit

from har.jobs import decision_event
from har.jobs._due import FAILED
from har.monitoring import DecisionLog, DriftReports
from har.monitoring.decisions import DecisionRow
from har.project import Project

FIRST = dt.date(2024, 1, 8)
RUN = """
from har.jobs.monitor import monitor
from har.project import open_project
monitor(open_project(), send=lambda event: "")
"""
Live = Callable[..., None]

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture
def due(loop: Project, live: Live) -> Project:
    """The project on the day on which drift will be confirmed, before that day is monitored."""
    live(0, tilted=True)
    monitor()
    live(1, tilted=True)
    return loop


def retraining(project: Project) -> DecisionRow:
    """The only decision to train again."""
    (row,) = [row for row in DecisionLog(project.lake).rows() if row.action == "retrain"]
    return row


def test_an_event_that_does_not_arrive_costs_nothing_but_time(due: Project) -> None:
    found = monitor(send=lambda event: "no server")
    # Report and decision are stored; the event is not noted as sent.
    assert found.unsent == 1
    assert "har.drift.confirmed of 2024-01-09 was not sent (no server)" in found.notes[0]
    assert len(DriftReports(due.lake).of()) == 2
    assert retraining(due).emitted_at is None

    found = monitor()
    assert (found.days, found.unsent) == ((), 0)
    assert [row.action for row in found.decisions] == ["retrain"]
    assert retraining(due).emitted_at is not None
    assert monitor().decisions == ()


@pytest.mark.parametrize(("commits", "kept"), [(1, "report"), (2, "decision")])
def test_killed_between_report_decision_and_event(due: Project, commits: int, kept: str) -> None:
    run_until_commit(RUN, commits=commits)
    assert [report.date for report in DriftReports(due.lake).of()] == [FIRST, FIRST + dt.timedelta(days=1)]
    known = [row.action for row in DecisionLog(due.lake).rows()]
    assert known == (["watch"] if kept == "report" else ["watch", "retrain"])

    # What was kept is not made twice, and what was not is made up for.
    found = monitor()
    assert len(found.days) == (1 if kept == "report" else 0)
    assert [row.action for row in DecisionLog(due.lake).rows()] == ["watch", "retrain"]
    assert retraining(due).emitted_at is not None
    assert monitor().decisions == ()


@pytest.mark.release
def test_a_training_that_fails_is_sent_again_and_given_up_after_three(
    due: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor()
    (due.settings.root / "full").write_text("no folder")
    monkeypatch.setenv("HAR_PATHS__RUNS", "full")
    ids = set()
    for attempt in (1, 2, 3):
        ids.add(decision_event("test-project", retraining(due)).id)
        with pytest.raises(OSError, match="full"):
            train(decision=retraining(due).decision_id)
        assert retraining(due).attempts == attempt
        assert retraining(due).outcome.startswith(FAILED)
        assert retraining(due).handled_at is None
        found = monitor()
        expected = "retrain" if attempt < 3 else "alert"
        assert [row.action for row in found.decisions] == [expected]
    # Each attempt was an event of its own; what was sent twice for one attempt would have had one id.
    assert len(ids) == 3
    row = retraining(due)
    assert row.handled_at is not None
    assert row.outcome.startswith("given up after 3 attempts: failed: ")
    alert = DecisionLog(due.lake).rows()[-1]
    assert (alert.action, alert.event, alert.outcome) == ("alert", "har.retraining.failed", "announced")
    assert alert.payload["retraining"] == row.decision_id
    assert monitor().decisions == ()
    assert due.registry.champion().number == 1


def test_what_a_new_champion_made_void_is_not_sent(due: Project) -> None:
    monitor()
    assert train(seed=1).version == 2
    due.registry.promote(2, reason="by hand", who="test")
    assert monitor().decisions == ()
    row = retraining(due)
    assert row.handled_at is not None
    assert row.outcome == "void: version 2 serves since"


@pytest.mark.parametrize("hours", [2, -2000], ids=["two hours ago", "before the clock was set back"])
def test_an_event_that_nobody_handled_is_sent_again_with_the_same_id(due: Project, hours: int) -> None:
    monitor()
    row = retraining(due)
    DecisionLog(due.lake).mark([row], emitted_at=dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours))
    (again,) = monitor().decisions
    assert again.decision_id == row.decision_id
    wanted = decision_event("test-project", row)
    assert [event.id for event in sent[-2:]] == [wanted.id, wanted.id]
