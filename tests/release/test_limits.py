"""Hard limits: certain failures stop a release at once, single ones and shared ones do not."""

from __future__ import annotations

from typing import Any

import pytest

from har.release import Check, Counts, Limits, Measured, Side, Spans, hard_limits
from har.release._betting import log_excess

QUICK = ((0.001, 0), (0.0025, 900), (0.005, 90), (0.01, 10), (0.1, 0), (float("inf"), 0))


def measured(answered: int = 1000, **counts: Any) -> Measured:
    return Measured(answered=answered, **{"seconds": QUICK, "memory_mb": 200.0, **counts})


def side(requests: int = 1000, *, began_mb: float = 200.0, metrics: Measured | None = None, **counts: Any) -> Side:
    return Side(Counts(requests=requests, memory_mb=200.0, **counts), metrics or measured(requests), began_mb=began_mb)


def verdicts(canary: Side, stable: Side | None = None, **more: Any) -> dict[str, str]:
    checks = hard_limits(canary, stable or side(), Limits(), **more)
    return {check.name: check.verdict for check in checks}


def test_a_good_version_passes_them_all() -> None:
    found = verdicts(side())
    assert set(found) == {"failed", "refused", "fallback", "nonfinite", "warned", "slow", "memory", "starts"}
    assert set(found.values()) == {"pass"}


@pytest.mark.parametrize(
    ("failed", "requests", "verdict"),
    [(0, 3, "pass"), (1, 3, "hold"), (3, 3, "fail"), (5, 5, "fail"), (2, 1000, "pass"), (60, 1000, "fail")],
)
def test_failed_requests_count_by_how_certain_they_are(failed: int, requests: int, verdict: str) -> None:
    assert verdicts(side(requests, failed=failed))["failed"] == verdict


def test_a_share_at_the_limit_is_seldom_taken_for_more() -> None:
    """Of 2,000 versions that fail exactly as often as they may, looked at after every request."""
    import numpy as np

    rng = np.random.default_rng(0)
    hits = (rng.random((2000, 600)) < 0.02).cumsum(axis=1)
    stopped = 0
    for row in hits:
        rises = np.flatnonzero(np.diff(row, prepend=0))  # the wealth only grows with a failure
        stopped += any(log_excess(int(row[at]), int(at) + 1, 0.02) >= np.log(1000) for at in rises)
    assert stopped <= 8


def test_no_request_and_no_metrics_are_no_pass() -> None:
    found = verdicts(Side())
    assert set(found.values()) - {"pass"} == {"hold"}
    assert [name for name, verdict in found.items() if verdict == "pass"] == ["starts"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [("fallback", {"fallback": 60}), ("nonfinite", {"nonfinite": 20}), ("warned", {"warned": 990})],
)
def test_answers_that_are_none(name: str, counts: dict[str, int]) -> None:
    found = verdicts(side(metrics=measured(**counts)))
    assert [check for check, verdict in found.items() if verdict == "fail"] == [name]


def test_warnings_may_be_the_senders_fault() -> None:
    """A third of the canary's requests: one of its three subjects sends another unit. Copies would show the same."""
    canary, stable = side(metrics=measured(warned=330)), side()
    assert verdicts(canary, stable)["warned"] == "pass"
    assert verdicts(canary, stable, copies=True)["warned"] == "fail"
    assert verdicts(canary, side(metrics=measured(warned=320)), copies=True)["warned"] == "pass"


def test_refusals_that_both_versions_make_are_load() -> None:
    busy = side(refused=100)
    assert verdicts(busy, side())["refused"] == "fail"
    assert verdicts(busy, side(refused=90))["refused"] == "pass"


def slow(count: int) -> Measured:
    return measured(seconds=((0.0025, 1000 - count), (0.01, 0), (0.025, 0), (0.05, count), (float("inf"), 0)))


def test_slow_answers_are_held_against_the_former_version_at_the_same_time() -> None:
    assert verdicts(side(metrics=slow(900)))["slow"] == "fail"
    assert verdicts(side(metrics=slow(0)))["slow"] == "pass"
    assert verdicts(side(metrics=slow(900)), side(metrics=slow(900)))["slow"] == "pass"  # the machine is busy


def test_a_single_stall_takes_nothing_back() -> None:
    """Sixteen requests that were in flight when the process stood still."""
    assert verdicts(side(metrics=slow(16)))["slow"] != "fail"
    first = measured(2, seconds=((0.01, 0), (0.05, 2), (float("inf"), 0)))
    assert verdicts(side(metrics=first))["slow"] != "fail"


def test_at_the_last_step_the_former_version_answers_nobody() -> None:
    idle = Side(measured=measured(0, seconds=()))
    assert verdicts(side(metrics=slow(900)), idle)["slow"] == "hold"
    assert verdicts(side(metrics=slow(900)), idle, former=side())["slow"] == "fail"


def test_memory_that_grows_and_goes_on_growing() -> None:
    def of(memory_mb: float) -> Side:
        return Side(Counts(requests=1000, memory_mb=memory_mb), measured(), began_mb=200.0)

    assert verdicts(of(260.0))["memory"] == "pass"  # it warms up
    assert verdicts(of(320.0))["memory"] == "fail"
    assert verdicts(of(320.0), of(310.0))["memory"] == "pass"  # what both do is no leak of one
    assert verdicts(Side(Counts(requests=1000), Measured(answered=1000)))["memory"] == "hold"


def test_replicas_that_begin_again_and_again() -> None:
    assert verdicts(side(starts=1))["starts"] == "pass"  # one may be killed
    assert verdicts(side(starts=3))["starts"] == "fail"


def test_a_check_says_what_it_saw() -> None:
    check = next(one for one in hard_limits(side(5, failed=5), side(), Limits()) if one.name == "failed")
    assert check == Check("failed", 1.0, 0.02, 5, 0, "fail", check.reason)
    assert check.reason.startswith("5 of 5 requests of the new version (100.0%) were not answered")


PAGE = """# TYPE har_requests_total counter
har_requests_total{route="/predict/raw",status="200"} 90.0
har_requests_total{route="/predict",status="200"} 10.0
har_requests_total{route="/predict",status="500"} 2.0
har_requests_total{route="/predict",status="429"} 3.0
har_requests_total{route="/predict",status="422"} 7.0
har_requests_total{route="/feedback",status="202"} 5.0
har_request_seconds_bucket{le="0.005",route="/predict"} 60.0
har_request_seconds_bucket{le="0.01",route="/predict"} 95.0
har_request_seconds_bucket{le="+Inf",route="/predict"} 100.0
har_fallback_total{by="rule",reason="nonfinite"} 4.0
har_fallback_total{by="previous",reason="open"} 6.0
har_warnings_total{code="no_gravity"} 8.0
har_windows_total 300.0
har_memory_bytes 1.048576e+08
some_other_total{route="/predict"} 1.0
"""


def test_metrics_are_read_from_the_replicas_pages() -> None:
    one = Measured.of_pages([PAGE])
    assert one == Measured(
        answered=100,
        failed=2,
        refused=3,
        fallback=10,
        nonfinite=4,
        warned=8,
        windows=300,
        seconds=((0.005, 60), (0.01, 35), (float("inf"), 5)),
        memory_mb=100.0,
    )
    two = Measured.of_pages([PAGE, PAGE])
    assert (two.answered, two.memory_mb) == (200, 100.0)
    assert two.since(one) == one
    assert one.quantile_s(0.9) == 0.01
    assert one.slower(0.007) == 5


def page(answered: int, failed: int = 0, memory_mb: float = 200.0) -> str:
    return (
        f'har_requests_total{{route="/predict",status="200"}} {answered}\n'
        f'har_requests_total{{route="/predict",status="500"}} {failed}\n'
        f'har_request_seconds_bucket{{le="0.005",route="/predict"}} {answered}\n'
        f'har_request_seconds_bucket{{le="+Inf",route="/predict"}} {answered + failed}\n'
        f"har_memory_bytes {memory_mb * 2**20}\n"
    )


def failing(spans: Spans) -> list[str]:
    return [check.name for check in spans.hard_limits(Limits()) if check.verdict == "fail"]


def test_a_version_that_begins_to_fail_late_is_seen_in_the_last_seconds() -> None:
    spans = Spans()
    good, bad = 0, 0
    for second in range(0, 3600, 2):
        good += 40
        counts = {"stable": Counts(requests=4 * good), "canary": Counts(requests=good + bad, failed=bad)}
        spans.add(second, counts, {"stable": {"a": page(4 * good)}, "canary": {"b": page(good)}})
    assert failing(spans) == []
    spans.add(3600, {"canary": Counts(requests=good + 2, failed=2)}, {"canary": {"b": page(good)}})
    assert failing(spans) == []  # 2 of some forty in the last seconds
    spans.add(3601, {"canary": Counts(requests=good + 40, failed=40)}, {"canary": {"b": page(good)}})
    assert failing(spans) == ["failed"]


def test_replicas_that_come_go_and_begin_anew_are_added_up() -> None:
    spans = Spans()
    spans.add(0, {}, {"canary": {"a": page(100), "b": page(50)}})
    spans.enter()
    spans.add(1, {}, {"canary": {"a": page(130), "b": page(60)}})
    spans.add(2, {}, {"canary": {"b": page(5), "c": page(700)}})  # a is gone, b began anew, c ran before
    spans.add(3, {}, {"canary": {"b": page(15), "c": page(720)}})
    spans.add(4, {}, {})  # nobody answers
    found = spans.step("canary").measured
    assert found is not None
    assert found.answered == 30 + 10 + 5 + 10 + 20
    assert spans.step("canary").began_mb == 200.0


def test_a_step_forgets_what_was_before_it() -> None:
    spans = Spans()
    spans.add(0, {"canary": Counts()}, {"canary": {"a": page(0)}})
    spans.add(1, {"canary": Counts(requests=100, failed=1)}, {"canary": {"a": page(99, 1)}})
    spans.enter()
    spans.add(2, {"canary": Counts(requests=150, failed=1)}, {"canary": {"a": page(149, 1)}})
    assert (spans.step("canary").counts.requests, spans.step("canary").counts.failed) == (50, 0)
    assert spans.release("canary").counts.requests == 150
