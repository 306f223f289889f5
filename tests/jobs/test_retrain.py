"""`train` for a decision of monitoring: the outcome in the log of decisions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from run_support import train

from har.errors import MonitoringError
from har.monitoring import DecisionLog
from har.monitoring.decisions import Decision, DecisionRow
from har.project import Project

DAY = dt.date(2024, 1, 9)
EVENT = "har.drift.confirmed"

pytestmark = pytest.mark.timeout(300)


def decided(project: Project, since: dt.date = DAY, *, version: int = 1) -> str:
    """A decision to train again, as monitoring keeps it: its id."""
    payload = {"since": since.isoformat(), "reason": f"Drift is confirmed since {since}."}
    decision = Decision(DAY, "retrain", (payload["reason"],), EVENT, payload)
    assert DecisionLog(project.lake).add(decision, version)
    return decision.id


def row_of(project: Project, decision: str) -> DecisionRow:
    row = DecisionLog(project.lake).find(decision)
    assert row is not None
    return row


def test_a_promoted_version_has_its_reason_and_the_decision_its_outcome(
    loop: Project, live: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a few made-up days teach is not the question here.
    monkeypatch.setenv("HAR_GATES__OLD_MARGIN", "0.5")
    live(0)
    live(1, tilted=True, swapped=True)
    decision = decided(loop)
    report = train(decision=decision)
    assert (report.version, report.trained, report.promoted) == (2, True, True), report.reasons
    row = row_of(loop, decision)
    assert (row.attempts, row.outcome) == (1, "version 2 promoted")
    assert row.handled_at is not None
    version = loop.registry.champion()
    assert version.number == 2
    assert (version.tags["started_by"], version.tags["decision"]) == (EVENT, decision)
    assert loop.registry.recipe(2).regimes == [DAY.isoformat()]
    move = loop.registry.log()[-1]
    assert (move.action, move.version) == ("promote", 2)
    assert "Drift is confirmed since 2024-01-09." in move.reason
    assert (move.figures["started_by"], move.figures["lake_to"]) == (EVENT, DAY.isoformat())

    # The same event twice: nothing is trained, nothing is logged, the outcome stays.
    moves = len(loop.registry.log())
    again = train(decision=decision)
    assert (again.version, again.trained, again.reasons) == (2, False, ("version 2 promoted",))
    assert (len(loop.registry.versions()), len(loop.registry.log())) == (2, moves)
    assert row_of(loop, decision) == row

    # Taken back, it does not count as promoted because the same training is asked for again.
    loop.registry.rollback(reason="it was worse in service", who="test")
    taken_back = train(since=DAY)
    assert (taken_back.version, taken_back.trained, taken_back.promoted) == (2, False, False)
    assert taken_back.reasons == ("It served before; version 1 has replaced it.",)
    assert loop.registry.champion().number == 1


def test_a_rejected_challenger_changes_only_the_log(loop: Project, live: Callable[..., None]) -> None:
    live(0)
    # No day lies behind this drift: on the day since, the champion is right already, and cannot be beaten.
    decision = decided(loop, DAY - dt.timedelta(days=1))
    report = train(decision=decision)
    assert not report.promoted
    row = row_of(loop, decision)
    assert row.outcome.startswith("version 2 rejected: ")
    assert row.handled_at is not None
    assert loop.registry.champion().number == 1
    assert [move.action for move in loop.registry.log()][-1] == "reject"


def test_a_failed_training_stays_open(
    loop: Project, live: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    live(1, tilted=True)
    decision = decided(loop)
    (loop.settings.root / "full").write_text("no folder")
    with monkeypatch.context() as patch:
        patch.setenv("HAR_PATHS__RUNS", "full")
        with pytest.raises(OSError, match="full"):
            train(decision=decision)
    row = row_of(loop, decision)
    assert (row.attempts, row.handled_at) == (1, None)
    assert row.outcome.startswith("failed: ")
    assert "full" in row.outcome
    assert (loop.registry.champion().number, len(loop.registry.versions())) == (1, 1)

    assert train(decision=decision).version == 2
    row = row_of(loop, decision)
    assert (row.attempts, row.outcome.split(" ")[:2]) == (2, ["version", "2"])
    assert row.handled_at is not None


def test_switched_off_nothing_is_trained_for_an_event_and_all_is_by_hand(loop: Project) -> None:
    decision = decided(loop)
    report = train(decision=decision, automatic=False)
    assert (report.version, report.trained, report.reasons) == (1, False, ("switched off",))
    assert (row_of(loop, decision).attempts, row_of(loop, decision).outcome) == (0, "switched off")
    assert len(loop.registry.versions()) == 1
    assert train(seed=1, automatic=False).version == 2


def test_a_decision_for_a_former_champion_is_not_trained(loop: Project) -> None:
    decision = decided(loop, version=7)
    report = train(decision=decision)
    assert (report.trained, report.reasons) == (False, ("void: version 1 serves since",))
    assert row_of(loop, decision).handled_at is not None


def test_an_unknown_decision_is_refused(loop: Project) -> None:
    with pytest.raises(MonitoringError, match="a decision in the lake's log, but got '2024-01-09-retrain-0'"):
        train(decision="2024-01-09-retrain-0")
    assert len(loop.registry.versions()) == 1
