"""How many replicas a version should have, by what is observed."""

from __future__ import annotations

from pathlib import Path

import pytest
from place_support import NAME, Load, kept

from infra.serving import asking
from infra.serving.scaling import BUSY_S, IDLE_S, Rule


class Days:
    """A rule that is asked once a second, whose replicas are ready at once."""

    def __init__(self, least: int, most: int) -> None:
        self.rule, self.now, self.ready = Rule(least, most), 100.0, least

    def go(self, seconds: float, in_flight: float, p99_s: float | None = 0.01) -> list[int]:
        """The numbers that were wanted in this time."""
        found = []
        for _ in range(round(seconds)):
            self.now += 1
            self.ready = self.rule.observe(self.now, ready=self.ready, in_flight=in_flight, p99_s=p99_s)
            found.append(self.ready)
        return found


def test_replicas_are_added_while_they_are_busy_and_removed_when_they_are_idle_for_long() -> None:
    days = Days(1, 3)
    assert set(days.go(60, in_flight=2)) == {1}
    assert days.go(BUSY_S + 2, in_flight=20)[-1] == 2
    assert days.go(60, in_flight=100)[-1] == 3  # and no more
    assert set(days.go(IDLE_S - 1, in_flight=1)) == {3}
    assert days.go(3, in_flight=1)[-1] == 2
    assert days.go(2 * IDLE_S, in_flight=0)[-1] == 1


def test_a_burst_and_a_load_between_the_limits_change_nothing() -> None:
    days = Days(1, 4)
    for _ in range(20):
        assert set(days.go(BUSY_S - 1, in_flight=50)) == {1}
        days.go(2, in_flight=3)
    days.go(BUSY_S + 2, in_flight=12)
    assert set(days.go(600, in_flight=6)) == {2}  # too much for one, and little for two


def test_slow_answers_are_a_burden_only_where_requests_wait() -> None:
    days = Days(1, 2)
    assert set(days.go(60, in_flight=1, p99_s=0.1)) == {1}
    assert days.go(BUSY_S + 2, in_flight=3, p99_s=0.1)[-1] == 2


def test_a_person_s_number_is_the_least_and_without_room_nothing_is_added() -> None:
    days = Days(2, 0)
    assert set(days.go(60, in_flight=100)) == {2}
    days.rule.least = 3
    assert days.go(1, in_flight=100) == [3]


def test_nothing_is_decided_while_a_replica_is_on_its_way() -> None:
    rule = Rule(1, 4)
    for second in range(60):
        wanted = rule.observe(float(second), ready=1, in_flight=50, p99_s=None)
    assert wanted == 2


def test_the_quantile_is_of_what_was_answered_between_two_readings() -> None:
    before = {"a": {0.01: 100.0, 0.1: 100.0, float("inf"): 100.0}}
    now = {
        "a": {0.01: 140.0, 0.1: 150.0, float("inf"): 150.0},
        "b": {0.01: 50.0, 0.1: 50.0, float("inf"): 50.0},
    }
    assert asking.p99_s(before, now) == 0.1
    assert asking.p99_s(now, now) is None


@pytest.mark.release
def test_replicas_follow_the_load_without_a_failed_request(tmp_path: Path) -> None:
    with kept(tmp_path, replicas_max=2) as trial:
        trial.order("v1", slow_s=0.05)
        tag = f"{NAME}:v1"
        with Load(trial.port, clients=24) as load:
            trial.until(lambda: len(trial.ready(tag)) == 2, within_s=60)
            load.clients_wanted = 2
            trial.until(lambda: len(trial.place.running().replicas) == 1, within_s=120)
        assert load.failed == {}
        assert any("2 replicas instead of 1" in line for line in trial.said)
        assert any("1 replicas instead of 2" in line for line in trial.said)
