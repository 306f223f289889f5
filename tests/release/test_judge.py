"""The judge: pass, fail, or what is missing; on made answers of people who differ from each other."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from har.release import (
    Answers,
    Check,
    Counts,
    Limits,
    Measured,
    Paired,
    Side,
    StepEvidence,
    Tally,
    judge,
    quality,
)
from har.release._betting import bounds, log_wealth

ACTIVITIES = ("PEN", "ABD", "FEL", "ROW")
LIMITS = Limits()


def paired(
    subjects: int = 12,
    windows: int = 320,
    *,
    gain: float = 0.0,
    differ: float = 0.06,
    sure: float | None = None,
    labelled: float = 0.0,
    seed: int = 0,
    single: int | None = None,
    loses: int | None = None,
) -> Paired:
    """Answers of two versions, in bouts of 8 windows of an activity.

    Args:
        subjects: people; their accuracies differ.
        windows: of each.
        gain: accuracy of the new version minus the former one's.
        differ: share of windows with different answers; in half of the rest of them, both are wrong.
        sure: mean confidence of the new version where they differ; by default, as it deserves.
        labelled: share of the windows of which the truth becomes known.
        seed: of everything.
        single: the new version gives this answer alone.
        loses: the new version gives another answer in place of this one.
    """
    rng = np.random.default_rng(seed)
    tally = Tally(ACTIVITIES)
    deserved = 0.5 + gain / (2 * differ) if differ else 0.5
    for number in range(subjects):
        code = tally.code(f"s{number:02d}")
        truth = np.repeat(rng.integers(0, 4, windows // 8), 8)
        apart = rng.random(windows) < differ * rng.gamma(4, 1 / 4)
        new_right = rng.random(windows) < deserved
        other = (truth + rng.integers(1, 4, windows)) % 4
        new, former = np.where(apart & ~new_right, other, truth), np.where(apart & new_right, other, truth)
        new_sure, former_sure = np.full((2, windows), 0.9) + rng.normal(0, 0.03, (2, windows))
        level = deserved if sure is None else sure
        new_sure[apart] = np.clip(0.4 + 0.3 * level + rng.normal(0, 0.1, apart.sum()), 0, 1)
        former_sure[apart] = np.clip(0.4 + 0.3 * (1 - deserved) + rng.normal(0, 0.1, apart.sum()), 0, 1)
        if single is not None:
            new[:], new_sure[:] = single, 0.9
        if loses is not None:
            new = np.where(new == loses, (loses + 1) % 4, new)
        tally.add(Answers(np.full(windows, code), new, former, new_sure, former_sure), requests=windows // 4)
        known = rng.random(windows) < labelled
        tally.label(np.full(known.sum(), code), (new == truth)[known], (former == truth)[known])
    return tally.paired()


def checks(evidence: Paired, **limits: Any) -> dict[str, Check]:
    return {check.name: check for check in quality(evidence, replace(LIMITS, **limits))}


def verdicts(evidence: Paired, **limits: Any) -> dict[str, str]:
    return {name: check.verdict for name, check in checks(evidence, **limits).items()}


def test_the_same_model_passes_without_labels() -> None:
    found = checks(paired(differ=0.0))
    assert {check.verdict for check in found.values()} == {"pass"}
    assert "answer 0.0% of 3840 windows differently" in found["accuracy"].reason


def test_nothing_is_no_pass() -> None:
    assert set(verdicts(Paired()).values()) == {"hold"}
    assert verdicts(paired(1, 64))["accuracy"] == "hold"


def test_a_version_that_disagrees_little_passes_whoever_is_right() -> None:
    assert checks(paired(differ=0.02))["accuracy"].verdict == "pass"
    assert checks(paired(differ=0.06))["accuracy"].verdict == "hold"
    assert checks(paired(differ=0.06), disagreement=0.06)["accuracy"].verdict == "pass"


def test_labels_take_a_worse_version_back_when_enough_people_say_so() -> None:
    worse: dict[str, Any] = {"gain": -0.12, "differ": 0.15, "labelled": 0.5}
    assert verdicts(paired(30, **worse))["accuracy"] == "fail"
    few = checks(paired(3, **worse))["accuracy"]
    assert few.verdict == "hold"  # three people are three coins
    assert "Labels of more subjects" in few.reason


def test_a_large_effect_needs_few_people() -> None:
    found = checks(paired(3, 800, gain=-0.4, differ=0.45, labelled=0.5))["accuracy"]
    assert found.verdict == "fail"
    assert "far worse" in found.reason


def test_labels_of_an_equal_version_take_nothing_back() -> None:
    for seed in range(20):
        assert verdicts(paired(30, differ=0.15, labelled=0.5, seed=seed))["accuracy"] != "fail"


def test_much_disagreement_alone_takes_nothing_back() -> None:
    """As after a drift: the new version rightly says something else. Its evaluation has seen that, or labels decide."""
    drifted = paired(differ=0.4, gain=0.3)
    unknown = checks(drifted)["accuracy"]
    assert unknown.verdict == "hold"
    assert "Labels (feedback with a token) would show which version is right." in unknown.reason
    assert checks(drifted, disagreement=0.1)["accuracy"].verdict == "hold"
    evaluated = checks(drifted, disagreement=0.35)["accuracy"]
    assert evaluated.verdict == "pass"
    assert "its evaluation had 35.0%, and 5.0% more are allowed" in evaluated.reason
    assert checks(paired(differ=0.4, gain=0.3, labelled=0.5))["accuracy"].verdict == "pass"


def test_a_version_that_is_much_less_sure_waits_for_labels() -> None:
    evidence = replace(paired(differ=0.02), sure=0.7, former_sure=0.9)
    check = checks(evidence)["accuracy"]
    assert check.verdict == "hold"
    assert "mean confidence is 0.20 lower" in check.reason


def test_a_version_within_the_margin_is_not_taken_back() -> None:
    """However certain it is that it is a little worse: the margin allows that."""
    evidence = paired(60, 800, gain=-0.03, differ=0.05, labelled=0.5)
    assert checks(evidence)["accuracy"].verdict == "pass"
    assert checks(evidence, margin=0.01)["accuracy"].verdict == "fail"


def test_labels_alone_do_not_promote_what_the_confidences_deny() -> None:
    """Whoever holds a token could else promote a version with false labels."""
    evidence = paired(differ=0.3, gain=-0.25)
    praised = np.zeros((40, 6))
    praised[:, 3], praised[:, 4] = 8, 2
    assert verdicts(replace(evidence, labelled_blocks=praised))["accuracy"] != "pass"


@pytest.mark.parametrize("subjects", [3, 10])
def test_one_answer_for_everything(subjects: int) -> None:
    found = checks(paired(subjects, single=2))
    assert found["single class"].verdict == "fail"
    assert "FEL" in found["single class"].reason


def test_a_lost_class_of_which_the_former_version_was_sure() -> None:
    found = checks(paired(5, loses=1, differ=0.02))
    assert found["classes"].verdict == "fail"
    assert "calls ABD" in found["classes"].reason


def evidence(**changes: Any) -> StepEvidence:
    buckets = ((0.005, 900), (float("inf"), 0))
    side = Side(Counts(requests=900, memory_mb=200.0), Measured(answered=900, seconds=buckets), began_mb=200.0)
    return replace(StepEvidence(400.0, side, side, paired(differ=0.0)), **changes)


def test_a_step_with_all_evidence_passes() -> None:
    verdict = judge(evidence(), LIMITS)
    assert (verdict.outcome, verdict.missing) == ("pass", ())
    assert json.loads(json.dumps(verdict.to_json()))["outcome"] == "pass"


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"seconds": 100.0}, "lasted 100 s of at least 300 s"),
        ({"canary": Side()}, "the new version has had no request"),
        ({"paired": Paired()}, "0 of 8 times 16 windows"),
        ({"paired": replace(paired(differ=0.0), seen=2)}, "2 of at least 3 subjects"),
        ({"silent": {"Prometheus": "connection refused"}}, "Prometheus did not answer: connection refused"),
    ],
)
def test_without_evidence_it_holds_and_says_what_is_missing(changes: dict[str, Any], missing: str) -> None:
    verdict = judge(evidence(**changes), LIMITS)
    assert verdict.outcome == "hold"
    assert any(missing in text for text in verdict.missing), verdict.missing


def test_a_hard_limit_fails_the_step_whatever_else_is_missing() -> None:
    broken = Side(Counts(requests=10, failed=10), Measured(failed=10))
    verdict = judge(evidence(canary=broken, seconds=1.0, paired=Paired()), LIMITS)
    assert verdict.outcome == "fail"
    assert verdict.reasons == [next(check.reason for check in verdict.checks if check.name == "failed")]


def test_wealth_rarely_grows_while_the_hypothesis_is_true() -> None:
    rng = np.random.default_rng(1)
    fair = rng.choice([-1.0, 1.0], (4000, 60)) * rng.random((4000, 60))
    assert (log_wealth(fair, 1.0).max(axis=1) >= np.log(100)).mean() <= 0.01
    shifted = rng.uniform(-1, 1, (200, 60)) + 0.4
    assert (log_wealth(np.clip(shifted, -1, 1), 1.0).max(axis=1) >= np.log(100)).mean() > 0.9


def test_bounds_hold_at_all_times() -> None:
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(300):
        values = rng.normal(0.1, 0.05, 200)
        missed += any(bounds(values[:n], 0.05)[0] > 0.1 for n in range(8, 200, 4))
    assert missed <= 0.08 * 300
