"""The policy's table, one row per rule, and what no combination of facts may bring about."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from har.monitoring.decisions import STARTS_TRAINING, Decision, Facts, OpenTraining, ProbationVerdict, decide
from har.monitoring.drift import DayReport, Performance, SliceScore
from har.monitoring.profiles import QualityAlarm
from har.settings import Retraining

TODAY = dt.date(2024, 3, 10)
SETTINGS = Retraining(min_windows=200, new_windows=5000, cooldown_days=7)


def slice_of(subject: str, *, alarmed: bool) -> SliceScore:
    return SliceScore("subject", subject, 1, 100, 2.0 if alarmed else 0.4, alarmed, ("accel_x.mean",))


def report(*, alarmed: bool = False, confirmed: bool = False, faulty: int = 0, drifted: int = 0, **values: Any):
    """A day of ten subjects: the first `drifted` alarm, the first `faulty` have a fault of the data."""
    known: dict[str, Any] = {
        "date": TODAY,
        "model_version": 3,
        "subjects": 10,
        "windows": 2000,
        "judged": True,
        "score": 2.5 if alarmed or confirmed else 0.3,
        "alarmed": alarmed or confirmed,
        "confirmed": confirmed,
        "since": TODAY - dt.timedelta(days=1) if confirmed else None,
        "features": (),
        "distributions": (),
        "slices": tuple(slice_of(f"s{number}", alarmed=number < drifted) for number in range(10)),
        "quality": tuple(
            QualityAlarm("stuck", f"s{number}", 0.5, 0.1, f"s{number}: half of the samples are stuck.")
            for number in range(faulty)
        ),
        "performance": None,
        "diagnosis": "Everyone: the x axis." if alarmed or confirmed else "",
        "verdict": "",
    }
    return DayReport(**{**known, **values})


def facts(**values: Any) -> Facts:
    known: dict[str, Any] = {
        "automatic": True,
        "last_training": None,
        "open_training": None,
        "last_asked": None,
        "labelled_since": 0,
        "unseen_labelled": 0,
        "probation": None,
    }
    return Facts(**{**known, **values})


def days_ago(days: int) -> dt.date:
    return TODAY - dt.timedelta(days=days)


FELL = Performance(windows=300, subjects=4, accuracy=0.7, expected=0.9, high=0.76, dropped=True)
KEPT = replace(FELL, accuracy=0.89, high=0.93, dropped=False)
PROBATION = ProbationVerdict(
    version=3,
    former=2,
    since=days_ago(3),
    days=2,
    windows=900,
    labelled=0,
    rollback=True,
    reasons=("Version 3 fails its probation beside version 2 after 2 judged days.",),
    accuracy=None,
    confidence=(0.7, 0.9),
    score=None,
)
DRIFT = report(confirmed=True, drifted=8)
OPEN = OpenTraining(days_ago(30), "2024-02-09-retrain-1a2b3c4d", 0, "")
BEGUN = OpenTraining(days_ago(1), "2024-03-09-retrain-1a2b3c4d", 1, "begun")
FAILED = OpenTraining(days_ago(1), "2024-03-09-retrain-1a2b3c4d", 2, "failed: OSError: the disk is full")
ENOUGH = {"labelled_since": 200, "unseen_labelled": 200}


@pytest.mark.parametrize(
    ("day", "known", "action", "event"),
    [
        (report(), facts(), "nothing", ""),
        (report(judged=False, subjects=1, windows=12), facts(), "nothing", ""),
        (report(alarmed=True, drifted=8), facts(**ENOUGH), "watch", ""),
        # Drift is confirmed.
        (DRIFT, facts(**ENOUGH), "retrain", "har.drift.confirmed"),
        (DRIFT, facts(labelled_since=199, unseen_labelled=4999), "ask", "har.labels.wanted"),
        (DRIFT, facts(), "ask", "har.labels.wanted"),
        (DRIFT, facts(last_asked=days_ago(1)), "hold", ""),
        (DRIFT, facts(last_asked=TODAY), "hold", ""),
        (DRIFT, facts(last_asked=days_ago(2)), "ask", "har.labels.wanted"),
        (DRIFT, facts(last_asked=days_ago(1), **ENOUGH), "retrain", "har.drift.confirmed"),
        (DRIFT, facts(last_training=days_ago(7), **ENOUGH), "retrain", "har.drift.confirmed"),
        (DRIFT, facts(last_training=days_ago(6), **ENOUGH), "hold", ""),
        (DRIFT, facts(last_training=TODAY, **ENOUGH), "hold", ""),
        (DRIFT, facts(last_training=days_ago(-3), **ENOUGH), "hold", ""),
        (DRIFT, facts(last_training=days_ago(30), open_training=OPEN, **ENOUGH), "hold", ""),
        (DRIFT, facts(automatic=False, **ENOUGH), "hold", ""),
        # Labels are asked for whatever holds the training back.
        (DRIFT, facts(automatic=False), "ask", "har.labels.wanted"),
        (DRIFT, facts(last_training=days_ago(30), open_training=OPEN), "ask", "har.labels.wanted"),
        (DRIFT, facts(last_training=days_ago(1), open_training=BEGUN), "ask", "har.labels.wanted"),
        (DRIFT, facts(last_training=days_ago(1)), "ask", "har.labels.wanted"),
        (DRIFT, facts(last_training=days_ago(30), open_training=OPEN, last_asked=TODAY), "hold", ""),
        (report(performance=FELL), facts(open_training=OPEN), "ask", "har.labels.wanted"),
        (report(), facts(unseen_labelled=5000, open_training=OPEN), "hold", ""),
        # Faults of the data.
        (report(faulty=1), facts(), "alert", "har.quality.alarmed"),
        (report(alarmed=True, drifted=8, faulty=8), facts(**ENOUGH), "alert", "har.quality.alarmed"),
        (report(confirmed=True, drifted=8, faulty=5), facts(**ENOUGH), "alert", "har.quality.alarmed"),
        (report(confirmed=True, drifted=3, faulty=2), facts(**ENOUGH), "alert", "har.quality.alarmed"),
        (report(confirmed=True, drifted=8, faulty=1), facts(**ENOUGH), "retrain", "har.drift.confirmed"),
        (report(confirmed=True, faulty=5), facts(**ENOUGH), "alert", "har.quality.alarmed"),
        (report(performance=FELL, faulty=6), facts(**ENOUGH), "alert", "har.quality.alarmed"),
        # Accuracy fell.
        (report(performance=FELL), facts(**ENOUGH), "retrain", "har.performance.dropped"),
        (report(performance=FELL, faulty=1), facts(**ENOUGH), "retrain", "har.performance.dropped"),
        (report(performance=FELL), facts(unseen_labelled=199), "ask", "har.labels.wanted"),
        (report(performance=FELL), facts(unseen_labelled=199, last_asked=days_ago(6)), "hold", ""),
        (report(performance=FELL), facts(unseen_labelled=199, last_asked=days_ago(9)), "ask", "har.labels.wanted"),
        (report(performance=FELL), facts(last_training=days_ago(2), **ENOUGH), "hold", ""),
        (report(performance=FELL), facts(automatic=False, **ENOUGH), "hold", ""),
        (report(performance=KEPT), facts(**ENOUGH), "nothing", ""),
        (replace(DRIFT, performance=FELL), facts(**ENOUGH), "retrain", "har.drift.confirmed"),
        # Labels arrived.
        (report(), facts(unseen_labelled=5000), "retrain", "har.labels.arrived"),
        (report(), facts(unseen_labelled=4999), "nothing", ""),
        (report(faulty=1), facts(unseen_labelled=5000), "retrain", "har.labels.arrived"),
        (report(), facts(unseen_labelled=5000, last_training=days_ago(1)), "hold", ""),
        (report(), facts(unseen_labelled=5000, automatic=False), "hold", ""),
        (report(performance=FELL), facts(unseen_labelled=5000), "retrain", "har.performance.dropped"),
        # Probation comes first, and passes by itself.
        (DRIFT, facts(probation=PROBATION, **ENOUGH), "rollback", "har.probation.failed"),
        (report(faulty=9), facts(probation=PROBATION), "rollback", "har.probation.failed"),
        (report(), facts(probation=replace(PROBATION, rollback=False)), "nothing", ""),
    ],
)
def test_table(day: DayReport, known: Facts, action: str, event: str) -> None:
    decision = decide(day, known, SETTINGS)
    assert (decision.action, decision.event) == (action, event)
    assert decision.date == TODAY
    assert (decision.event in STARTS_TRAINING) == (action == "retrain")


def test_what_a_training_is_told() -> None:
    decision = decide(DRIFT, facts(**ENOUGH), SETTINGS)
    assert decision.payload["since"] == "2024-03-09"
    assert "Drift is confirmed since 2024-03-09 (score 2.50)" in decision.payload["reason"]
    assert json.loads(json.dumps(decision.payload)) == decision.payload
    assert "200 windows since then have labels, of 200 needed." in decision.reasons
    assert decide(report(performance=FELL), facts(**ENOUGH), SETTINGS).payload["since"] is None


@pytest.mark.parametrize(
    ("day", "known", "said"),
    [
        (DRIFT, facts(last_training=days_ago(6), **ENOUGH), "cool-down of 7 days until 2024-03-11"),
        (DRIFT, facts(automatic=False, **ENOUGH), "switched off (prefect variable har_retraining)"),
        (
            DRIFT,
            facts(open_training=OPEN, **ENOUGH),
            "decided on 2024-02-09 has not started: `make up` starts it, or by hand: har train --decision "
            "2024-02-09-retrain-1a2b3c4d",
        ),
        (DRIFT, facts(open_training=OPEN), "has not started"),
        (DRIFT, facts(open_training=BEGUN, last_asked=TODAY), "has begun and has not ended"),
        (DRIFT, facts(open_training=FAILED, **ENOUGH), "failed: OSError: the disk is full. To try again: har train"),
        (DRIFT, facts(unreviewed=7), "7 feedbacks wait for a person"),
        (
            report(performance=replace(FELL, first=days_ago(2), last=days_ago(1))),
            facts(**ENOUGH),
            "on 300 windows of 4 subjects of 2024-03-08 to 2024-03-09",
        ),
        (DRIFT, facts(last_asked=days_ago(1)), "0 windows since then have labels, of 200 needed."),
        (DRIFT, facts(last_asked=days_ago(1)), "requested on 2024-03-09"),
        (report(performance=FELL), facts(**ENOUGH), "fell to 70.0 % on 300 windows of 4 subjects"),
        (report(), facts(unseen_labelled=5001), "5001 windows with labels are new to the champion; 5000 start"),
        (report(confirmed=True, drifted=8, faulty=6), facts(), "3 more data faults."),
        (report(confirmed=True, drifted=8, faulty=6), facts(), "s0: half of the samples are stuck."),
        (report(judged=False, subjects=1, windows=1), facts(), "1 subjects with 1 window are too few"),
        (report(alarmed=True), facts(), "score 2.50; 1 is the alarm level"),
    ],
)
def test_reasons_carry_the_figures(day: DayReport, known: Facts, said: str) -> None:
    assert said in " ".join(decide(day, known, SETTINGS).reasons)


def test_a_rollback_names_both_versions() -> None:
    decision = decide(report(), facts(probation=PROBATION), SETTINGS)
    assert (decision.payload["version"], decision.payload["former"]) == (3, 2)
    assert decision.reasons == PROBATION.reasons


def test_the_same_day_gives_the_same_decision() -> None:
    assert decide(DRIFT, facts(**ENOUGH), SETTINGS).id == decide(DRIFT, facts(**ENOUGH), SETTINGS).id
    assert decide(DRIFT, facts(**ENOUGH), SETTINGS).id != decide(DRIFT, facts(), SETTINGS).id


_dates = st.none() | st.integers(-20, 40).map(days_ago)
_facts = st.builds(
    Facts,
    automatic=st.booleans(),
    last_training=_dates,
    open_training=st.sampled_from([None, OPEN, BEGUN]),
    last_asked=_dates,
    labelled_since=st.integers(0, 400),
    unseen_labelled=st.integers(0, 6000),
    probation=st.sampled_from([None, PROBATION, replace(PROBATION, rollback=False)]),
)
_reports = st.builds(
    report,
    alarmed=st.booleans(),
    confirmed=st.booleans(),
    faulty=st.integers(0, 10),
    drifted=st.integers(0, 10),
    performance=st.sampled_from([None, FELL, KEPT]),
)
_rules = st.builds(
    Retraining,
    min_windows=st.integers(1, 300),
    new_windows=st.integers(1, 6000),
    cooldown_days=st.integers(0, 14),
)


@hypothesis_settings(max_examples=400, deadline=None)
@given(_reports, _facts, _rules)
def test_never(day: DayReport, known: Facts, rules: Retraining) -> None:
    decision = decide(day, known, rules)
    assert decision.reasons
    assert all(decision.reasons)
    assert json.loads(json.dumps(decision.payload)) == decision.payload
    if decision.action == "ask":
        assert not (known.probation and known.probation.rollback)
    if decision.action == "retrain":
        assert known.automatic
        assert known.open_training is None
        assert known.last_training is None or (TODAY - known.last_training).days >= rules.cooldown_days
        assert not (known.probation and known.probation.rollback)
    if decision.action == "retrain":
        least = min(rules.min_windows, rules.new_windows)
        assert max(known.labelled_since, known.unseen_labelled) >= least
        if decision.event == "har.drift.confirmed":
            assert day.confirmed
            assert known.labelled_since >= rules.min_windows
        faulty = {alarm.subject for alarm in day.quality}
        alarmed = {part.name for part in day.slices if part.by == "subject" and part.alarmed}
        assert not (faulty and faulty >= alarmed and alarmed), "a pure fault of the data"
        assert len(faulty) < day.subjects / 2


@hypothesis_settings(max_examples=100, deadline=None)
@given(_facts, _rules, st.integers(1, 10))
def test_a_pure_fault_of_the_data_never_trains(known: Facts, rules: Retraining, faulty: int) -> None:
    day = report(confirmed=True, drifted=faulty, faulty=faulty)
    decision: Decision = decide(day, replace(known, probation=None), rules)
    assert decision.action == "alert"


def test_one_drift_asks_once_however_long_it_lasts() -> None:
    asked: dt.date | None = None
    actions = []
    for number in range(20):
        day = replace(DRIFT, date=TODAY + dt.timedelta(days=number))
        decision = decide(day, facts(last_asked=asked), SETTINGS)
        actions.append(decision.action)
        asked = day.date if decision.action == "ask" else asked
    assert actions == ["ask", *["hold"] * 19]
