"""The circuit breaker alone: when it permits calls, and what outcomes do to it."""

from __future__ import annotations

import threading

import pytest

from bentos.online import _breaker
from bentos.online._breaker import CLOSED, HALF_OPEN, OPEN, Breaker


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_breaker, "time", clock)
    return clock


@pytest.fixture
def states() -> list[str]:
    return []


@pytest.fixture
def breaker(clock: Clock, states: list[str]) -> Breaker:
    return Breaker(failures=3, pause_s=5, on_change=states.append)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.permits()
        breaker.failed()


def test_opens_after_failures_in_a_row_only(breaker: Breaker, states: list[str]) -> None:
    for _ in range(4):
        fail(breaker, 2)
        breaker.succeeded()
    assert states == []
    fail(breaker, 3)
    assert states == [OPEN]
    assert not breaker.permits()


def test_after_the_pause_one_call_tries(breaker: Breaker, clock: Clock, states: list[str]) -> None:
    fail(breaker, 3)
    clock.now_s += 4.9
    assert not breaker.permits()
    clock.now_s += 0.2
    assert [breaker.permits() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.permits()
    assert states == [OPEN, HALF_OPEN, CLOSED]
    fail(breaker, 2)
    assert breaker.permits()


def test_a_failed_trial_starts_another_pause(breaker: Breaker, clock: Clock, states: list[str]) -> None:
    fail(breaker, 3)
    clock.now_s += 6
    assert breaker.permits()
    breaker.failed()
    clock.now_s += 4
    assert not breaker.permits()
    clock.now_s += 2
    assert breaker.permits()
    assert states == [OPEN, HALF_OPEN, OPEN, HALF_OPEN]


def test_a_call_that_began_before_it_opened_changes_nothing(breaker: Breaker, clock: Clock, states: list[str]) -> None:
    assert [breaker.permits() for _ in range(5)] == [True] * 5
    for _ in range(3):
        breaker.failed()
    clock.now_s += 3
    breaker.failed()
    breaker.succeeded()
    assert states == [OPEN]
    clock.now_s += 3
    assert breaker.permits()


def test_threads_get_one_trial_between_them(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now_s += 6
    permitted: list[bool] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        permitted.append(breaker.permits())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(permitted) == [False] * 7 + [True]
