"""`monitor`: what it reports, decides and sends, and what it does only once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import polars as pl
import pytest
from run_support import ingest, monitor, score, sent, train
from tests_support import write_recording

from har.errors import NotEnoughDataError
from har.jobs.label import add_labels
from har.monitoring import DecisionLog, DriftReports
from har.monitoring.drift import OwnHistory
from har.project import Project
from har_cli import main

FIRST = dt.date(2024, 1, 8)
Live = Callable[..., None]

pytestmark = pytest.mark.timeout(300)


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def actions(project: Project) -> list[tuple[int, str]]:
    """The log: the day's number and what was decided."""
    return [((row.date - FIRST).days, row.action) for row in DecisionLog(project.lake).rows()]


def learned(project: Project) -> set[dt.date]:
    """The days of all subjects' own histories with the first version."""
    subjects = [subject for _, subject in project.lake.own_history.partitions()]
    return {one.day for one in OwnHistory(project.lake).of(subjects, 1)}


def test_good_days_are_quiet_and_days_of_drift_start_one_training(loop: Project, live: Live) -> None:
    for number in range(3):
        live(number)
    found = monitor()
    assert [report.date for report in found.days] == [day(0), day(1), day(2)]
    assert not any(report.alarmed for report in found.days)
    assert actions(loop) == [(0, "nothing"), (1, "nothing"), (2, "nothing")]
    # Quiet days are the subjects' own history, and days of drift never will be.
    assert learned(loop) == {day(0), day(1), day(2)}
    tables = (loop.lake.drift, loop.lake.decisions, loop.lake.own_history)
    versions = [table.version() for table in tables]
    again = monitor()
    assert (again.days, again.decisions, again.notes) == ((), (), ())
    assert [table.version() for table in tables] == versions

    # Three drifted days caught up in one run: one training, not one per day.
    for number in (3, 4, 5):
        live(number, tilted=True)
    found = monitor()
    assert [report.alarmed for report in found.days] == [True] * 3
    assert [report.confirmed for report in found.days] == [False, True, True]
    assert actions(loop)[3:] == [(3, "watch"), (4, "retrain"), (5, "hold")]
    assert learned(loop) == {day(0), day(1), day(2)}
    row = DecisionLog(loop.lake).rows()[4]
    assert (row.event, row.payload["since"]) == ("har.drift.confirmed", day(3).isoformat())
    assert row.emitted_at is not None
    assert (row.handled_at, found.unsent) == (None, 0)
    assert found.index is not None
    assert (found.index.parent / f"{day(5)}.html").exists()
    assert [(event.name, event.payload["decision"]) for event in sent[-1:]] == [(row.event, row.decision_id)]
    assert f'href="drift/{day(5)}.html"' in (found.index.parents[1] / "index.html").read_text()

    # An event that arrived is not sent again at once, also if a day is looked at again.
    again = monitor(date=day(4), again=True)
    assert [row.action for row in again.decisions] == ["hold"]
    assert DecisionLog(loop.lake).rows()[4] == row


def test_a_run_without_a_day_to_judge_says_why(loop: Project, live: Live) -> None:
    trained_to = loop.registry.champion().tags["trained_to"]
    assert monitor().idle == "no day has been scored yet. Score first: har score."
    score(rescore=True)
    idle = monitor().idle
    assert f"version 1 was trained on recordings up to {trained_to}, and the newest scored day is {trained_to}" in idle
    assert f"har monitor --date {trained_to}" in idle
    live(0)
    assert monitor().idle == ""
    assert monitor().idle == f"every scored day up to {day(0)} has been judged (again: har monitor --again)."
    today = dt.datetime.now(loop.settings.project.zone).date()
    live((today - FIRST).days)
    # The older days have no profiles any more: monitoring.keep_days counts back from the newest.
    assert monitor().idle == f"{today} is not over yet in {loop.settings.project.timezone}."


@pytest.mark.release
def test_labels_that_never_come_start_nothing_and_those_that_come_late_do(loop: Project, live: Live) -> None:
    for number in range(4):
        live(number, tilted=True, labelled=False)
    monitor()
    assert actions(loop) == [(0, "watch"), (1, "ask"), (2, "hold"), (3, "hold")]
    asked = loop.lake.label_requests.read()
    # One of neighbours within 20 s: two a recording, of two recordings a day.
    assert len(asked) == 2 * 2 * 2 * 6
    assert asked["decision_id"].unique().to_list() == [DecisionLog(loop.lake).rows()[1].decision_id]
    # The request was announced; nothing waits for an answer.
    assert DecisionLog(loop.lake).rows()[1].outcome == "announced"
    assert monitor().days == ()

    truth = loop.lake.predictions.read().filter(pl.col("date").is_in([day(2), day(3)]))
    answers = truth.select(
        "date",
        "subject",
        "start",
        "end",
        pl.when(pl.col("session") == "pen").then(pl.lit("PEN")).otherwise(pl.lit("ROW")).alias("activity"),
    )
    assert add_labels(loop.lake, answers) > loop.settings.retraining.min_windows
    # No new day is needed for that: the newest one is looked at again.
    found = monitor()
    assert [(row.date, row.action) for row in found.decisions] == [(day(3), "retrain")]
    assert found.decisions[0].event == "har.drift.confirmed"


def test_a_rejected_challenger_is_followed_by_a_cool_down(loop: Project, live: Live) -> None:
    for number in range(2):
        live(number, tilted=True)
    (_, row) = monitor().decisions
    assert row.action == "retrain"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAR_GATES__LATENCY_RATIO", "0.01")
        assert not train(decision=row.decision_id).promoted
    assert DecisionLog(loop.lake).rows()[1].outcome.startswith("version 2 rejected: ")
    live(2, tilted=True)
    (held,) = monitor().decisions
    assert held.action == "hold"
    assert "cool-down" in " ".join(held.reasons)
    assert loop.registry.champion().number == 1


def test_switched_off_drift_is_reported_and_nothing_starts(loop: Project, live: Live) -> None:
    for number in range(2):
        live(number, tilted=True)
    monitor(automatic=False)
    assert actions(loop) == [(0, "watch"), (1, "hold")]
    assert "switched off" in " ".join(DecisionLog(loop.lake).rows()[1].reasons)


@pytest.mark.release
def test_a_watch_with_a_wrong_clock_and_days_out_of_order(loop: Project, live: Live) -> None:
    future = dt.date(2099, 1, 1)
    live((future - FIRST).days)
    live(3)
    found = monitor()
    assert [report.date for report in found.days] == [day(3)]
    assert found.notes == ("Recordings of 2099-01-01 wait until that day is over. Was the clock of a device wrong?",)
    # An older day that comes later has its place in the history, and a newer one its own.
    live(1)
    live(4)
    assert [report.date for report in monitor().days] == [day(1), day(4)]
    assert [report.date for report in DriftReports(loop.lake).of()] == [day(1), day(3), day(4)]
    # A training that has seen the future does not end the watch.
    assert train(seed=1).version == 2
    loop.registry.promote(2, reason="test", who="test")
    score(rescore=True)
    live(5)
    assert [report.date for report in monitor().days] == [day(5)]


def test_an_empty_day_and_one_with_too_few_subjects(loop: Project, live: Live) -> None:
    live(0, seconds=1.5)
    found = monitor()
    assert not any(report.judged for report in found.days)
    assert {action for _, action in actions(loop)} <= {"nothing"}
    live(1, subjects=("s01",))
    found = monitor()
    assert [(report.date, report.judged) for report in found.days] == [(day(1), False)]
    assert actions(loop)[-1] == (1, "nothing")
    # The others' files come a day late: the day is judged again.
    live(1, subjects=("s02", "s03"))
    found = monitor()
    assert [(report.date, report.judged, report.subjects) for report in found.days] == [(day(1), True, 3)]
    with pytest.raises(NotEnoughDataError, match="har score"):
        monitor(date=day(2))


def test_a_champion_without_a_reference_is_named(
    loop: Project, live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("HAR_MONITORING__ENABLED", "false")
        assert train(seed=1).version == 2
        loop.registry.promote(2, reason="test", who="test")
        assert "switched off" in " ".join(monitor().notes)
    live(0)
    found = monitor()
    assert found.days == ()
    assert "Version 2 has no reference" in " ".join(found.notes)
    monkeypatch.setattr("sys.argv", ["har", "monitor"])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert not end.value.code
    assert "har train" in printed.out + printed.err


def test_a_bad_champion_is_rolled_back(loop: Project, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("HAR_TRAINING__EPOCHS", "1")
        assert train(seed=1).version == 2
    loop.registry.promote(2, reason="by mistake", who="test")
    live(0)
    found = monitor()
    assert actions(loop) == [(0, "rollback")]
    assert loop.registry.champion().number == found.model_version == 1
    move = loop.registry.log()[-1]
    assert (move.action, move.version) == ("rollback", 1)
    assert move.who.startswith("monitor (")
    assert "Version 2 fails its probation" in move.reason
    (row,) = DecisionLog(loop.lake).rows()
    assert row.outcome == "version 1 serves again"
    assert row.handled_at is not None
    moves = len(loop.registry.log())
    assert monitor().decisions == ()
    assert len(loop.registry.log()) == moves
    live(1)
    assert [row.action for row in monitor().decisions] == ["nothing"]


def test_a_subject_recorded_for_the_first_time_is_no_drift(loop: Project, live: Live) -> None:
    live(0)
    write_recording(loop.settings.path("inbox"), day(0).isoformat(), "s42", "pen", "PEN", seconds=80, seed=7)
    ingest()
    score()
    (report,) = monitor().days
    assert (report.subjects, report.alarmed) == (7, False)
