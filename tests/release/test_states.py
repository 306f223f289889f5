"""Which move follows from the judge's verdict, time and people: never on for lack of data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from har.errors import ReleaseError
from har.release import Judged, Plan, State, next_move
from har.settings import Settings

HOUR = 3600.0


@pytest.fixture
def plan(settings: Settings) -> Plan:
    return Plan.of(settings)


def at(step: int, **changes: object) -> State:
    return replace(State("v2-1", 2, phase="step", step=step, step_began=1000.0), **changes)  # type: ignore[arg-type]


def test_the_steps_of_har_toml_begin_with_the_shadow_and_end_with_everybody(plan: Plan, settings: Settings) -> None:
    assert [(step.name, step.share) for step in plan.steps] == [
        ("shadow", 0.0),
        ("5 %", 0.05),
        ("25 %", 0.25),
        ("50 %", 0.5),
        ("100 %", 1.0),
    ]
    assert plan.steps[0].mirror > 0
    assert all(step.mirror == 0 for step in plan.steps[1:])
    back = Plan.of(settings, back=True)
    assert [(step.share, step.dwell_s) for step in back.steps] == [(1.0, 0.0)]


def test_blue_green_is_the_same_with_one_step(settings: Settings) -> None:
    chosen = settings.release.model_copy(update={"steps": (1.0,), "shadow": False})
    plan = Plan.of(settings.model_copy(update={"release": chosen}))
    assert [(step.name, step.dwell_s) for step in plan.steps] == [("100 %", chosen.dwell_s)]


def test_a_verdict_to_pass_counts_once_the_step_has_lasted_long_enough(plan: Plan) -> None:
    passed = Judged("pass", reason="good")
    early = next_move(at(1), plan, passed, now=1000 + plan.steps[1].dwell_s - 1)
    assert early.what == "stay"
    assert "1 s of the 300 s" in early.missing[0]
    assert next_move(at(1), plan, passed, now=1000 + plan.steps[1].dwell_s).what == "next"


def test_a_verdict_to_fail_counts_at_once_and_also_while_paused(plan: Plan) -> None:
    failed = Judged("fail", reason="half of its answers failed")
    for state in (at(1), at(1, paused_by="ada")):
        move = next_move(state, plan, failed, now=1000.1)
        assert (move.what, move.outcome, move.reason) == ("end", "rolled back", "half of its answers failed")


@pytest.mark.parametrize("judged", [None, Judged("hold", missing=("120 of 200 requests",)), Judged("hold", reason="?")])
def test_without_enough_evidence_it_stays_and_says_what_is_missing_until_it_is_withdrawn(
    plan: Plan, judged: Judged | None
) -> None:
    late = 1000 + 11 * HOUR
    held = at(2, hold_since=1300.0)
    move = next_move(held, plan, judged, now=late)
    assert move.what == "stay"
    assert move.missing
    move = next_move(held, plan, judged, now=1300 + plan.hold_s)
    assert (move.what, move.outcome) == ("end", "held too long")
    assert "not enough evidence" in move.reason


def test_what_a_person_pauses_stays_however_long(plan: Plan) -> None:
    move = next_move(at(2, paused_by="ada"), plan, Judged("pass"), now=1000 + 100 * HOUR)
    assert move.what == "stay"
    assert "har release resume, because ada paused it" in move.missing[0]


def test_a_state_survives_its_file_and_ignores_what_a_newer_release_wrote() -> None:
    state = at(3, missing=("a", "b"), measures=({"name": "failed", "value": 0.1},), hold_since=5.0)
    text = state.to_json()
    assert State.from_json(text, where="file") == state
    assert State.from_json(text.replace('"release"', '"newer": 1, "release"', 1), where="file") == state
    with pytest.raises(ReleaseError, match="expected the state of a release"):
        State.from_json("[]", where="file")
