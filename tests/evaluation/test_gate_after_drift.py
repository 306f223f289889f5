"""The gate after a drift: no worse on the days before, better on the days since, and no verdict without windows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from har.errors import EvaluationError, NotEnoughDataError
from har.evaluation import LatencyRatio, Outcome, OwnLimits, Verdict, compare_after_drift

EACH = 200


def _reaching(old: tuple[float, ...], new: tuple[float, ...]) -> tuple[Outcome, np.ndarray]:
    """Per subject a hundred old and a hundred new windows, of which these shares are answered rightly."""
    labels, wrong, subjects, is_new = [], [], [], []
    for side, accuracies in enumerate((old, new)):
        for number, accuracy in enumerate(accuracies):
            labels += [0, 1] * (EACH // 2)
            wrong += (np.arange(EACH) >= round(EACH * accuracy)).tolist()
            subjects += [f"s{number}"] * EACH
            is_new += [bool(side)] * EACH
    truth = np.array(labels, np.int64)
    answers = np.where(wrong, 1 - truth, truth)
    made = Outcome(truth, np.eye(2, dtype=np.float32)[answers], np.array(subjects, str), ("walk", "sit"))
    return made, np.array(is_new, bool)


LIMITS = OwnLimits(
    class_floor=0.3,
    latency_ratio=3.0,
    measured=LatencyRatio("champion", 1.0, median_us=90.0, against_median_us=90.0, pairs=200),
    latency_ms=5.0,
    wall_p50_ms=0.1,
    wall_p99_ms=0.2,
)


def _judge(challenger: tuple, champion: tuple, limits: OwnLimits = LIMITS, **values: float) -> Verdict:
    own, is_new = _reaching(*challenger)
    its, _ = _reaching(*champion)
    return compare_after_drift(own, its, is_new, limits, **{"old_margin": 0.05, "least_windows": 30, **values})


@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        ((0.9, 0.9, 0.9), (0.9, 0.9, 0.9), set()),
        ((0.85, 0.85, 0.85), (0.9, 0.9, 0.9), set()),
        ((0.84, 0.84, 0.84), (0.9, 0.9, 0.9), {"accuracy_old"}),
        ((0.9, 0.9, 0.9), (0.7, 0.7, 0.7), {"accuracy_new"}),
        ((0.9, 0.9, 0.9), (0.705, 0.705, 0.705), set()),
        ((0.9, 0.9, 0.9), (0.6, 0.6, 0.6), {"accuracy_new"}),
        # Better on average, but not for new subjects with any certainty.
        ((0.9, 0.9, 0.9), (0.6, 0.7, 0.95), {"accuracy_new"}),
        # One subject alone falls below the margin, and others may be like it.
        ((0.95, 0.95, 0.7), (0.9, 0.9, 0.9), {"accuracy_old"}),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), {"accuracy_old", "accuracy_new"}),
        # Two subjects: the difference itself decides.
        ((0.86, 0.86), (0.65, 0.8), set()),
        ((0.86, 0.80), (0.65, 0.8), {"accuracy_old"}),
        ((0.9, 0.9), (0.65, 0.7), {"accuracy_new"}),
    ],
)
def test_truth_table(old: tuple[float, ...], new: tuple[float, ...], failed: set[str]) -> None:
    """The champion reaches 90 % on the old windows and 70 % on the new ones."""
    verdict = _judge((old, new), ((0.9,) * len(old), (0.7,) * len(new)))
    assert {name for name, passed in verdict.checks.items() if not passed} == failed
    assert set(verdict.checks) == {"accuracy_old", "accuracy_new", "class_floor", "latency"}
    assert verdict.promote == (not failed)
    assert len(verdict.reasons) == 4


def test_floor_and_latency_hold_as_ever() -> None:
    good = ((0.9,) * 3, (0.9,) * 3)
    champion = ((0.9,) * 3, (0.7,) * 3)
    slow = replace(LIMITS, measured=replace(LIMITS.measured, ratio=3.1))
    assert not _judge(good, champion, slow).checks["latency"]
    assert not _judge(good, champion, replace(LIMITS, class_floor=0.95)).checks["class_floor"]
    over_budget = _judge(good, champion, replace(LIMITS, wall_p99_ms=6.0))
    assert over_budget.promote
    assert "over the budget of 5 ms" in over_budget.reasons[-1]


def test_reasons_and_figures_name_both_sides() -> None:
    verdict = _judge(((0.88,) * 3, (0.9,) * 3), ((0.9,) * 3, (0.7,) * 3))
    old, new = verdict.reasons[:2]
    assert old.startswith("Non-inferior within the margin of -5.0 points on the days before the drift: accuracy 88.0 %")
    assert new.startswith("Better on the days since the drift began: accuracy 90.0 % against the champion's 70.0 %")
    assert "+20.0 points" in new
    assert verdict.old is not None
    assert verdict.new is not None
    assert (verdict.old["challenger"], verdict.old["champion"]) == pytest.approx((0.88, 0.9))
    assert verdict.old["low"] == pytest.approx(-0.02)
    assert (verdict.new["windows"], verdict.new["subjects"]) == (600, 3)
    assert verdict.new["difference"] == pytest.approx(0.2)
    assert verdict.difference == pytest.approx(0.09)


@pytest.mark.parametrize(("sides", "name"), [(((0.9,), ()), "new"), (((), (0.9,)), "old")])
def test_a_side_without_windows_cannot_be_judged(sides: tuple, name: str) -> None:
    verdict = _judge(sides, sides)
    assert not verdict.promote
    assert not verdict.checks[f"accuracy_{name}"]
    said = next(reason for reason in verdict.reasons if "cannot be compared" in reason)
    assert f"The {name} distribution cannot be compared: held-out subjects have 0 labelled windows" in said


def test_too_few_windows_are_as_good_as_none() -> None:
    verdict = _judge(((0.9,), (0.9,)), ((0.9,), (0.1,)), least_windows=201)
    assert "have 200 labelled windows of the days since the drift began, and 201 are needed" in verdict.reasons[1]
    assert not verdict.promote


def test_other_windows_are_refused() -> None:
    own, is_new = _reaching((0.9,), (0.9,))
    its, _ = _reaching((0.9,), ())
    rules = {"old_margin": 0, "least_windows": 1}
    with pytest.raises(EvaluationError, match="the same windows"):
        compare_after_drift(own, its, is_new, LIMITS, **rules)
    nobody, nothing = _reaching((), ())
    with pytest.raises(NotEnoughDataError, match=r"split\.held_out"):
        compare_after_drift(nobody, nobody, nothing, LIMITS, **rules)


def test_verdict_survives_json() -> None:
    verdict = _judge(((0.9,) * 3, ()), ((0.9,) * 3, ()))
    assert Verdict(**json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict
