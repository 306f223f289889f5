"""A release is driven by its controller in a place in memory: steps, hard limits, orders, death and resurrection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from memory_place_support import PASSED, Evidence, Place, eventually

from har.release import Controller, Judged, Plan, Releases, State
from har.settings import Settings

STABLE, NEW = "test-project-online:v1-00000001", "test-project-online:v2-00000002"


@pytest.fixture
def plan(settings: Settings) -> Plan:
    quick = Plan.of(settings)
    steps = tuple(replace(step, dwell_s=0.02) for step in quick.steps)
    return replace(quick, steps=steps, keep_former_s=0.1, hold_s=0.5)


Make = Callable[..., Controller]


@pytest.fixture
def make(tmp_path: Path, plan: Plan) -> Make:
    def made(place: Place, evidence: Evidence, **changes: object) -> Controller:
        place.start(NEW, salt="v2-1")
        state = State("v2-1", 2, NEW, former=1, former_tag=STABLE)
        chosen = replace(plan, **changes)  # type: ignore[arg-type]
        return Controller(Releases(tmp_path), place, chosen, evidence, state, tick_s=0.01, judge_s=0.01)

    return made


def whats(controller: Controller) -> list[str]:
    return [record.what for record in controller.releases.records()]


def test_a_good_version_takes_each_step_and_then_serves(make: Make) -> None:
    place, evidence = Place(), Evidence()
    controller = make(place, evidence)
    controller.enter(0, reason="ready")
    state = controller.run()
    assert (state.phase, state.outcome, place.stable, place.former) == ("ended", "promoted", NEW, "")
    assert [share for _, share in place.shares] == [0.0, 0.05, 0.25, 0.5, 1.0]
    assert whats(controller) == ["advanced"] * 5 + ["promoted", "ended"]
    assert [record.measures for record in controller.releases.records()[1:6]] == [PASSED.measures] * 5


def test_a_hard_limit_withdraws_at_once_with_the_figures(make: Make) -> None:
    measure = {"name": "failed", "value": 0.5, "limit": 0.02, "n": 40, "subjects": 2}
    place, evidence = Place(), Evidence(says={"25 %": Judged("hold")})
    controller = make(place, evidence, hold_s=60.0)
    controller.enter(0, reason="ready")
    thread = threading.Thread(target=controller.run)
    thread.start()
    eventually(lambda: place.now().share == 0.25)
    broke = time.monotonic()
    evidence.limit = Judged("fail", (measure,), reason="50 % of its answers failed; at most 2 % may")
    thread.join(5)
    assert place.shares[-1][1] == 0
    assert place.shares[-1][0] - broke < 1
    assert (controller.state.outcome, place.stable, place.canary) == ("rolled back", STABLE, "")
    last = controller.releases.records()[-1]
    assert (last.what, last.outcome, last.measures, last.share) == ("ended", "rolled back", (measure,), 0.25)
    assert "rolled back at 25 %: 50 % of its answers failed" in last.sentence


def test_after_it_took_over_the_former_version_is_put_back_by_the_guard(make: Make) -> None:
    evidence = Evidence(limit=Judged("fail", reason="it fails under full load"), limits_in="keeping")
    place = Place()
    controller = make(place, evidence, keep_former_s=30.0)
    controller.enter(0, reason="ready")
    assert controller.run().outcome == "rolled back"
    assert place.stable == STABLE
    assert whats(controller)[-2:] == ["promoted", "ended"]


def test_without_evidence_it_holds_says_so_and_is_withdrawn(make: Make) -> None:
    lacking = Judged("hold", missing=("120 of 200 requests",))
    place = Place()
    controller = make(place, Evidence(says={"5 %": lacking}))
    controller.enter(0, reason="ready")
    state = controller.run()
    assert (state.outcome, place.stable, state.missing) == ("held too long", STABLE, ("120 of 200 requests",))
    held = next(record for record in controller.releases.records() if record.what == "held")
    assert "stays at 5 %: 120 of 200 requests" in held.sentence
    assert [share for _, share in place.shares] == [0.0, 0.05, 0.0]


def test_a_judge_that_fails_holds_the_release(make: Make) -> None:
    controller = make(Place(), Evidence(raises=OSError("the disk is gone")))
    controller.enter(0, reason="ready")
    assert controller.run().outcome == "held too long"
    assert "the judge fails: OSError: the disk is gone" in controller.state.reason


def test_a_place_that_does_not_answer_holds_the_release_and_nothing_passes(make: Make) -> None:
    place = Place()
    controller = make(place, Evidence(), hold_s=0.3)
    controller.enter(0, reason="ready")
    place.broken = "the proxy does not answer"
    state = controller.run()
    assert state.outcome == "held too long"
    assert state.step == 0
    assert "the proxy does not answer" in state.reason


def test_a_canary_that_somebody_took_away_ends_the_release(make: Make) -> None:
    place = Place()
    controller = make(place, Evidence(says={"shadow": Judged("hold", missing=("all",))}), hold_s=60.0)
    controller.enter(0, reason="ready")
    place.canary = ""
    assert controller.run().outcome == "rolled back"


def test_people_pause_resume_promote_and_abort(make: Make) -> None:
    place, evidence = Place(), Evidence(says={"shadow": Judged("hold", missing=("everything",))})
    controller = make(place, evidence, hold_s=0.2, keep_former_s=30.0)
    releases = controller.releases

    def order(command: str) -> None:
        releases.order("v2-1", command, who="ada", why=f"to {command}")  # type: ignore[arg-type]

    order("pause")
    controller.enter(0, reason="ready")
    thread = threading.Thread(target=controller.run)
    thread.start()
    eventually(lambda: controller.state.paused_by == "ada")
    time.sleep(0.4)  # longer than it may hold
    assert not controller.state.is_over
    order("promote")
    eventually(lambda: controller.state.phase == "keeping")
    records = releases.records()
    taken = next(record for record in records if record.step == "5 %")
    assert (taken.who, "to promote" in taken.sentence) == ("ada", True)
    order("abort")
    thread.join(5)
    assert (controller.state.outcome, controller.state.reason, place.stable) == ("aborted", "to abort", STABLE)
    assert releases.orders("v2-1") == []


def test_finish_goes_to_everybody_at_once(make: Make) -> None:
    place = Place()
    controller = make(place, Evidence(says={"shadow": Judged("hold")}), keep_former_s=0.0)
    controller.releases.order("v2-1", "finish", who="ada", why="I have looked at it")
    controller.enter(0, reason="ready")
    assert controller.run().outcome == "promoted"
    assert place.stable == NEW


def test_orders_for_another_release_are_dropped(make: Make) -> None:
    controller = make(Place(), Evidence())
    controller.releases.order("v1-9", "abort", who="ada", why="an older one")
    controller.enter(0, reason="ready")
    assert controller.run().outcome == "promoted"


def test_once_nobody_watches_the_former_version_serves_everybody(make: Make) -> None:
    place = Place()
    controller = make(place, Evidence(), lease_s=0.2)
    controller.enter(1, reason="ready")
    assert place.now().share == 0.05
    time.sleep(0.3)  # nobody turns the loop
    assert place.now().share == 0.0


def test_a_command_waits_for_nobody_and_the_controller_does_not_overrule_it(make: Make) -> None:
    place = Place()
    controller = make(place, Evidence(says={"5 %": Judged("hold", missing=("all",))}), hold_s=60.0)
    controller.enter(1, reason="ready")
    thread = threading.Thread(target=controller.run)
    thread.start()
    eventually(lambda: place.now().share == 0.05)
    began = time.monotonic()
    releases = Releases(controller.releases.folder)
    releases.order("v2-1", "abort", who="ada", why="stop")
    with releases.one_hand() as held:
        assert held
        place.withdraw()
    assert time.monotonic() - began < 1
    thread.join(5)
    assert place.now().share == 0
    assert controller.state.outcome == "aborted"


def test_the_history_survives_half_a_line(tmp_path: Path, make: Make) -> None:
    controller = make(Place(), Evidence())
    controller.enter(0, reason="ready")
    with controller.releases.history.open("ab") as stream:
        stream.write(b'{"id": "torn')
    controller.enter(1, reason="on")
    assert [record.step for record in controller.releases.records()] == ["shadow", "5 %"]
    first = controller.releases.records()[0]
    controller.releases.note_written(first)
    assert [record.step for record in controller.releases.unwritten()] == ["5 %"]
