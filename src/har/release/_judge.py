"""The judge of a release: what is known about a version in, pass, fail or hold out. No clock, no files, no network."""

from __future__ import annotations

import math

from har.release._classes import class_guards
from har.release._limits import hard_limits
from har.release._paired import BLOCK, Paired
from har.release._quality import (
    LARGE,
    LARGEST_OFFSET,
    LEAST_BLOCKS,
    RISKS,
    Difference,
    confidence_offset,
    disagreement,
    expected_difference,
    labelled_difference,
)
from har.release._values import Check, Limits, Outcome, StepEvidence, Verdict

__all__ = ["judge", "quality"]


def judge(evidence: StepEvidence, limits: Limits) -> Verdict:
    """Judge a step.

    It fails if any check fails, and passes if all checks pass. Anything else is no evidence: the step goes on, and the
    verdict says what is missing. A source that is silent lets nothing pass.

    Args:
        evidence: of the step, and of the release so far.
        limits: of the release.
    """
    hard = hard_limits(evidence.canary, evidence.stable, limits, former=evidence.former, copies=evidence.copies)
    checks = (*hard, *_least(evidence, limits), *quality(evidence.paired, limits))
    if any(check.verdict == "fail" for check in checks):
        return Verdict("fail", checks)
    missing = [f"{name} did not answer: {why}." for name, why in evidence.silent.items()]
    missing += [check.reason for check in checks if check.verdict == "hold"]
    return Verdict("hold" if missing else "pass", checks, tuple(missing))


def quality(paired: Paired, limits: Limits) -> tuple[Check, ...]:
    """The checks "accuracy", "classes" and "single class", from windows that both versions answered."""
    return (accuracy(paired, limits), *class_guards(paired, limits.risk * RISKS["classes"]))


def _least(evidence: StepEvidence, limits: Limits) -> list[Check]:
    """Least time, requests and subjects of a step."""
    canary = evidence.canary
    requests = canary.counts.requests
    if evidence.copies and canary.measured is not None:  # copies do not pass the proxy
        requests = canary.measured.answered
    found = (
        ("seconds", evidence.seconds, limits.dwell_s, "The step has lasted {:.0f} s of at least {:g} s."),
        ("requests", requests, limits.requests, "The new version has answered {} of at least {} requests of the step."),
        ("subjects", evidence.paired.seen, limits.subjects, "It has answered {} of at least {} subjects."),
    )
    return [
        Check(name, value, limit, requests, evidence.paired.seen, "pass" if value >= limit else "hold", said)
        for name, value, limit, text in found
        for said in [text.format(value, limit)]
    ]


_HOW = {
    "labels": "By {} labelled windows",
    "expected": "By the versions' confidences on {} windows",
}


def accuracy(paired: Paired, limits: Limits) -> Check:
    """The check "accuracy": labels, and without them which version is surer where the two differ."""
    labels, expected = labelled_difference(paired), expected_difference(paired, limits.margin)
    for found, how in ((labels, "labels"), (expected, "expected")):
        failure = _failure(found, how, limits)
        if failure is not None:
            return _check(paired, limits, "fail", found.value, failure)
    share, _, most = disagreement(paired)
    n, margin = paired.windows, limits.margin
    if share is None or len(paired.blocks) < LEAST_BLOCKS:
        text = (
            f"accuracy: {len(paired.blocks)} of {LEAST_BLOCKS} times {BLOCK} windows in a row of one subject were "
            "answered by both versions."
        )
        return _check(paired, limits, "hold", None, text)
    if labels.value is not None and labels.value < -margin and labels.high < 0:
        text = (
            f"{_HOW['labels'].format(labels.windows)}, the new version is worse by {_points(-labels.value)} for the "
            "subjects whom it serves; labels of more subjects would show whether it is for others, too."
        )
        return _check(paired, limits, "hold", labels.value, text)
    if most <= margin:
        text = (
            f"Both versions give the same answer to all but {share:.1%} of {n} windows (at most {most:.1%}), so their "
            f"accuracies differ by no more; the margin is {_points(margin)}."
        )
        return _check(paired, limits, "pass", -share, text)
    return _surer(paired, limits, labels, expected)


def _failure(found: Difference, how: str, limits: Limits) -> str | None:
    """Why the version is taken back, if it is."""
    if found.value is None:
        return None
    what = f"{_HOW[how].format(found.windows)}, the new version is"
    if found.shown_worse >= math.log(1 / (limits.risk * RISKS[how])):
        return f"{what} worse, by {_points(-found.value)}; that holds for others than these {found.subjects} subjects."
    if found.certain < -(limits.margin + LARGE):
        return f"{what} far worse, by {_points(-found.value)}, for the subjects whom it serves."
    return None


def _surer(paired: Paired, limits: Limits, labels: Difference, expected: Difference) -> Check:
    """The versions differ by more than the margin: labels decide, or which of them is surer where they differ."""
    share, low, _ = disagreement(paired)
    margin, offset, value = limits.margin, confidence_offset(paired), expected.value or 0.0
    if labels.value is not None and labels.low >= -margin and value >= -margin:
        text = f"{_HOW['labels'].format(labels.windows)}, {_interval(labels)}; it may be {_points(margin)} below."
        return _check(paired, limits, "pass", labels.value, text)
    differ = f"The versions answer {share:.1%} of {paired.windows} windows differently"
    if abs(offset) > LARGEST_OFFSET:
        text = (
            f"{differ}, and their confidences cannot be compared: where they agree, the new version's is {offset:+.2f} "
            "beside the former one's. Labels (feedback with a token) would decide."
        )
        return _check(paired, limits, "hold", value, text)
    least = -margin
    if limits.disagreement is not None and low > limits.disagreement + margin:
        least = 0.0
        differ += f", where the evaluation let expect {limits.disagreement:.1%}"
    found = f"{differ}. By their confidences there, {_interval(expected)}"
    if expected.low >= least:
        return _check(paired, limits, "pass", value, f"{found}; it may be {_points(-least)} below.")
    text = f"{found}; {_points(-least)} below is allowed. More windows or labels (feedback with a token) would decide."
    return _check(paired, limits, "hold", value, text)


def _check(paired: Paired, limits: Limits, verdict: Outcome, value: float | None, text: str) -> Check:
    return Check("accuracy", value, -limits.margin, paired.windows, len(paired.subjects), verdict, text)


def _interval(found: Difference) -> str:
    value = 0.0 if found.value is None else found.value
    if math.isinf(found.low):
        return f"the new version's accuracy is {_points(value, sign=True)} beside the former one's, of too few windows"
    return (
        f"the new version's accuracy is {_points(value, sign=True)} beside the former one's "
        f"({_points(found.low, sign=True)} to {_points(found.high, sign=True)})"
    )


def _points(value: float, *, sign: bool = False) -> str:
    return f"{100 * value:{'+' if sign else ''}.1f} points"
