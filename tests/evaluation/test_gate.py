"""The gate's truth table, and that each sentence carries its figures."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from har.errors import EvaluationError, NotEnoughDataError
from har.evaluation import LatencyRatio, Outcome, OwnLimits, Verdict, compare

MakeOutcome = Callable[..., Outcome]
EACH = 100
SUBJECTS = 5


def _reaching(*accuracies: float) -> Outcome:
    """One subject per figure with a hundred windows of two activities; mistakes fall on both alike."""
    labels = np.tile([0, 1], EACH // 2 * len(accuracies))
    wrong = np.concatenate([np.arange(EACH) >= round(EACH * accuracy) for accuracy in accuracies])
    return Outcome(
        labels=labels,
        probabilities=np.eye(2, dtype=np.float32)[np.where(wrong, 1 - labels, labels)],
        subjects=np.repeat([f"s{index}" for index in range(len(accuracies))], EACH),
        activities=("walk", "sit"),
    )


def _judge(
    challenger: Outcome, champion: Outcome | None, *, ratio: float = 1.0, p99_ms: float = 0.2, floor: float = 0.3
) -> Verdict:
    """The limit is 3 times the champion's processor time, or 10 times the reference network's; the budget is 5 ms."""
    against, limit = ("champion", 3.0) if champion else ("reference", 10.0)
    limits = OwnLimits(
        class_floor=floor,
        latency_ratio=limit,
        measured=LatencyRatio(against, ratio, median_us=90.0 * ratio, against_median_us=90.0, pairs=200),
        latency_ms=5.0,
        wall_p50_ms=0.1,
        wall_p99_ms=p99_ms,
    )
    return compare(challenger, champion, limits, margin=0.02)


@pytest.mark.parametrize(
    ("challenger", "champion", "ratio", "floor", "failed"),
    [
        (0.9, None, 1.0, 0.3, set()),
        (0.9, 0.8, 1.0, 0.3, set()),
        (0.8, 0.8, 1.0, 0.3, set()),
        (0.79, 0.8, 1.0, 0.3, set()),
        (0.78, 0.8, 1.0, 0.3, set()),
        (0.77, 0.8, 1.0, 0.3, {"accuracy"}),
        (0.9, 0.8, 3.0, 0.3, set()),
        (0.9, 0.8, 3.01, 0.3, {"latency"}),
        (0.9, 0.8, float("nan"), 0.3, {"latency"}),
        (0.9, 0.8, 1.0, 0.9, set()),
        (0.9, 0.8, 1.0, 0.91, {"class_floor"}),
        (0.9, None, 1.0, 0.91, {"class_floor"}),
        (0.9, None, 10.0, 0.3, set()),
        (0.9, None, 10.1, 0.3, {"latency"}),
        (0.5, 0.9, 9.0, 0.6, {"accuracy", "class_floor", "latency"}),
    ],
)
def test_truth_table(challenger: float, champion: float | None, ratio: float, floor: float, failed: set[str]) -> None:
    verdict = _judge(
        _reaching(*[challenger] * SUBJECTS),
        None if champion is None else _reaching(*[champion] * SUBJECTS),
        ratio=ratio,
        floor=floor,
    )
    assert {name for name, passed in verdict.checks.items() if not passed} == failed
    assert set(verdict.checks) == {"accuracy", "class_floor", "latency"}
    assert verdict.promote == (not failed)
    assert len(verdict.reasons) == 3


def test_reasons_carry_the_figures() -> None:
    accuracy, floor, speed = _judge(_reaching(*[0.9] * 5), _reaching(*[0.8] * 5)).reasons
    assert accuracy.startswith("Better: accuracy 90.0 % against the champion's 80.0 %, +10.0 points")
    assert "floor of 30.0 %" in floor
    assert "90.0 %" in floor
    assert speed == (
        "One window takes 1.00 times the processor time that the champion takes, measured side by side (medians "
        "0.090 ms and 0.090 ms, 200 pairs of calls), within the limit of 3 times."
    )
    accuracy, floor, speed = _judge(_reaching(*[0.5] * 5), _reaching(*[0.8] * 5), ratio=7, floor=0.6).reasons
    assert accuracy.startswith("Not shown to lie within the margin of -2.0 points")
    assert "-30.0 points" in accuracy
    assert "walk 50.0 %, sit 50.0 %" in floor
    assert speed.startswith("One window takes 7.00 times the processor time that the champion takes")
    assert "medians 0.630 ms and 0.090 ms" in speed
    assert speed.endswith(
        "above the limit of 3 times. Raise gates.latency_ratio in har.toml, or decide by hand: har promote VERSION "
        "--reason WHY."
    )


def test_without_a_champion_the_reference_network_is_named() -> None:
    verdict = _judge(_reaching(*[0.9] * 5), None, ratio=11.0)
    assert "times the processor time that the reference network takes" in verdict.reasons[2]
    assert "Raise gates.reference_ratio in har.toml" in verdict.reasons[2]
    assert verdict.latency["against"] == "reference"


@pytest.mark.parametrize("p99_ms", [5.01, 70.0, float("nan")])
def test_a_wall_clock_time_over_budget_only_warns(p99_ms: float) -> None:
    verdict = _judge(_reaching(*[0.9] * 5), None, p99_ms=p99_ms)
    assert verdict.promote
    assert len(verdict.reasons) == 4
    assert verdict.reasons[3].startswith("Warning: the 99th percentile of wall-clock time")
    assert f"{p99_ms:.2f} ms (median 0.10 ms), over the budget of 5 ms (gates.latency_ms)" in verdict.reasons[3]
    assert len(_judge(_reaching(*[0.9] * 5), None, p99_ms=5.0).reasons) == 3


def test_the_verdict_names_what_the_latency_was_measured_against() -> None:
    assert _judge(_reaching(0.9, 0.9, 0.9), _reaching(0.8, 0.8, 0.8), ratio=2.0).latency == {
        "against": "champion",
        "ratio": 2.0,
        "limit": 3.0,
        "median_us": 180.0,
        "against_median_us": 90.0,
        "pairs": 200,
        "wall_p50_ms": 0.1,
        "wall_p99_ms": 0.2,
        "budget_ms": 5.0,
    }


def test_a_difference_that_only_one_subject_carries_is_no_proof() -> None:
    """Equal on average, but far worse for two of five: new subjects may be like those two."""
    verdict = _judge(_reaching(0.6, 0.6, 0.93, 0.93, 0.94), _reaching(0.8, 0.8, 0.8, 0.8, 0.8))
    assert verdict.difference == pytest.approx(0.0)
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low < -0.02 < 0 < verdict.high
    assert not verdict.checks["accuracy"]


def test_pairing_removes_what_subjects_share() -> None:
    """Subjects from 50 % to 95 %, each one point better: the spread between subjects cancels."""
    champion = (0.5, 0.6, 0.8, 0.9, 0.95)
    verdict = _judge(_reaching(*(value + 0.01 for value in champion)), _reaching(*champion))
    assert (verdict.low, verdict.difference, verdict.high) == pytest.approx((0.01, 0.01, 0.01))
    assert verdict.promote
    assert verdict.reasons[0].startswith("Better")


def test_bound_is_the_fifth_percentile_of_the_subjects_mean() -> None:
    gains = np.array([-0.05, -0.01, 0.0, 0.02, 0.03, 0.06])
    verdict = compare(
        _reaching(*(0.8 + gains)),
        _reaching(*[0.8] * 6),
        OwnLimits(0.3, 3.0, LatencyRatio("champion", 1.0, 90.0, 90.0, 200), 5.0, 0.1, 0.2),
        margin=0.02,
        resamples=20_000,
    )
    means = gains[np.random.default_rng(5).integers(0, 6, (20_000, 6))].mean(axis=1)
    assert (verdict.low, verdict.high) == pytest.approx(np.percentile(means, (5, 95)), abs=0.002)


@pytest.mark.parametrize(("challenger", "promote"), [((0.75, 0.83), True), ((0.70, 0.86), True), ((0.75, 0.80), False)])
def test_two_subjects_are_judged_by_the_difference_itself(challenger: tuple[float, ...], promote: bool) -> None:
    """A bootstrap over two would refuse the second pair for the worse of its subjects alone."""
    verdict = _judge(_reaching(*challenger), _reaching(0.8, 0.8))
    assert (verdict.low, verdict.high) == (None, None)
    assert verdict.checks["accuracy"] is promote
    assert "2 held-out subjects are too few to bound" in verdict.reasons[0]


def test_one_subject() -> None:
    verdict = _judge(_reaching(0.8), _reaching(0.8))
    assert verdict.promote
    assert "1 held-out subject is too few" in verdict.reasons[0]


def test_no_champion_yet() -> None:
    verdict = _judge(_reaching(0.9, 0.9, 0.9), None)
    assert (verdict.difference, verdict.low, verdict.high) == (None, None, None)
    assert verdict.reasons[0] == "There is no champion to compare with; accuracy is 90.0 %."


def test_floor_is_for_activities_present(certain: MakeOutcome) -> None:
    """Nobody jumped: that no jump was found is no fault."""
    challenger = certain([0, 1, 1], [0, 1, 1], ["s1", "s2", "s3"], ("walk", "sit", "jump"))
    assert _judge(challenger, None, floor=1.0).promote


def test_floor_names_the_worst_first(certain: MakeOutcome) -> None:
    challenger = certain([0, 0, 1, 1, 1, 1, 2], [0, 1, 0, 0, 0, 1, 2], ["s1"] * 7, ("walk", "sit", "run"))
    assert _judge(challenger, None, floor=0.6).reasons[1].endswith("60.0 %: sit 25.0 %, walk 50.0 %.")


def test_other_windows_are_refused(certain: MakeOutcome) -> None:
    names = ("walk", "sit")
    challenger = certain([0, 1, 1], [0, 1, 1], ["s1", "s2", "s3"], names)
    for champion, message in (
        (certain([0, 1], [0, 1], ["s1", "s2"], names), "the same windows"),
        (certain([0, 0, 1], [0, 1, 1], ["s1", "s2", "s3"], names), "window 1: expected equal labels"),
        (certain([0, 1, 1], [0, 1, 1], ["s1", "s2", "s4"], names), "window 2: expected equal subjects"),
        (certain([0, 1, 1], [0, 1, 1], ["s1", "s2", "s3"], ("walk", "run")), "the same activities"),
    ):
        with pytest.raises(EvaluationError, match=message):
            _judge(challenger, champion)


def test_nothing_held_out(outcome: MakeOutcome) -> None:
    with pytest.raises(NotEnoughDataError, match=r"split\.held_out"):
        _judge(outcome(windows=0), None)


def test_verdict_survives_json() -> None:
    verdict = _judge(_reaching(0.9, 0.8, 0.7), _reaching(0.9, 0.7, 0.7))
    assert Verdict(**json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict
