"""The judge of a release: what is known about a version in, pass, fail or hold out. No clock, no files, no network."""

from __future__ import annotations

import math

from har.release._classes import class_guards
from har.release._limits import hard_limits
from har.release._paired import BLOCK, Paired
from har.release._quality import (
    CLASSES_RISK,
    LABELS_RISK,
    LARGE,
    LARGEST_OFFSET,
    LEAST_BLOCKS,
    LEAST_LABELS,
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
    return (accuracy(paired, limits), *class_guards(paired, limits.risk * CLASSES_RISK))


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


def accuracy(paired: Paired, limits: Limits) -> Check:
    """The check "accuracy".

    Labels take a version back, and let it pass. Without them, a version passes if it disagrees with the former one at
    most by the margin more than it did on the labelled windows of its evaluation, which found it as good. Disagreement
    alone never takes a version back: after a drift, a retrained version is right to disagree.
    """
    labels, margin = labelled_difference(paired), limits.margin
    by_labels = f"By {labels.windows} labelled windows, the new version's accuracy is {_interval(labels)}"
    allowed = f"it may be {_points(margin)} below"
    if labels.value is not None and labels.value < -margin:
        if labels.worse >= math.log(1 / (limits.risk * LABELS_RISK)):
            text = f"{by_labels}; {allowed}, and {labels.subjects} subjects show that it is worse for others, too."
            return _check(paired, limits, "fail", labels.value, text)
        if labels.certain < -(margin + LARGE):
            text = f"{by_labels}: far worse for the subjects whom it serves; {allowed}."
            return _check(paired, limits, "fail", labels.value, text)
        if labels.windows >= LEAST_LABELS:
            text = f"{by_labels}; {allowed}. Labels of more subjects would decide."
            return _check(paired, limits, "hold", labels.value, text)
    if len(paired.blocks) < LEAST_BLOCKS:
        text = (
            f"accuracy: {len(paired.blocks)} of {LEAST_BLOCKS} times {BLOCK} windows in a row of one subject were "
            "answered by both versions."
        )
        return _check(paired, limits, "hold", None, text)
    expected = expected_difference(paired)
    denied = expected.value is not None and expected.value < -margin
    if labels.low >= -margin and not denied:
        return _check(paired, limits, "pass", labels.value, f"{by_labels}; {allowed}.")
    return _without_labels(paired, limits, expected)


def _without_labels(paired: Paired, limits: Limits, expected: Difference) -> Check:
    """How much the versions differ, beside what the evaluation let expect; confidence is a guard."""
    share, _, most = disagreement(paired)
    usual, offset, value = limits.disagreement or 0.0, confidence_offset(paired), expected.value or 0.0
    known = f"its evaluation had {usual:.1%}" if usual else "no evaluation lets expect more"
    differ = (
        f"The versions answer {share:.1%} of {paired.windows} windows differently (at most {most:.1%}); {known}, and "
        f"{limits.margin:.1%} more are allowed"
    )
    if offset < -LARGEST_OFFSET:
        text = (
            f"Where both versions agree, the new one's mean confidence is {-offset:.2f} lower. Labels (feedback with a "
            "token) would show whether it is worse."
        )
        return _check(paired, limits, "hold", value, text)
    if most > usual + limits.margin:
        text = f"{differ}. Labels (feedback with a token) would show which version is right"
        if share <= usual + limits.margin:
            text += ", and more windows whether they differ so much"
        return _check(paired, limits, "hold", value, f"{text}.")
    if expected.low < -limits.margin:
        text = f"{differ}; by their confidences there, the new version's accuracy is {_interval(expected)}."
        return _check(paired, limits, "hold", value, text)
    return _check(paired, limits, "pass", value, f"{differ}.")


def _check(paired: Paired, limits: Limits, verdict: Outcome, value: float | None, text: str) -> Check:
    return Check("accuracy", value, -limits.margin, paired.windows, len(paired.subjects), verdict, text)


def _interval(found: Difference) -> str:
    text = f"{_points(found.value or 0.0, sign=True)} beside the former one's"
    if math.isinf(found.low):
        return text
    return f"{text} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def _points(value: float, *, sign: bool = False) -> str:
    return f"{100 * value:{'+' if sign else ''}.1f} points"
