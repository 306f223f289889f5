"""The gate: two outcomes on the same windows in, a verdict with its reasons out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from har.errors import NotEnoughDataError
from har.evaluation import _metrics as metrics
from har.evaluation._outcome import Outcome, require_same_windows

LEAST_SUBJECTS = 3
"""With fewer, resampling subjects tells nothing about the next one, and the difference itself decides."""
_BOUND = 5.0
"""Percentile of the one-sided 95 % lower bound."""
_ROUNDING = 1e-9
"""0.85 - 0.87 lies below -0.02 in binary; a difference of exactly the margin passes."""


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger may replace the champion, and why.

    Attributes:
        promote: every check passed.
        reasons: one sentence with figures per check, passed or not.
        difference: challenger's accuracy minus the champion's on the same windows; None without a champion.
        low: one-sided 95 % lower bound of the difference, from a paired bootstrap over subjects; None without a
            champion, or with fewer than three subjects.
        high: one-sided 95 % upper bound, likewise.
        checks: `accuracy`, `class_floor` and `latency`; True: passed.
    """

    promote: bool
    reasons: list[str]
    difference: float | None
    low: float | None
    high: float | None
    checks: dict[str, bool]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def compare(
    challenger: Outcome,
    champion: Outcome | None,
    *,
    margin: float,
    class_floor: float,
    latency_ms_limit: float,
    latency_ms_p99: float,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdict:
    """Judge whether the challenger may replace the champion; all three checks must pass.

    * accuracy: better than the champion or non-inferior to it, that is, the lower bound of the difference is -margin
      or more. With fewer than three subjects the difference itself must be; without a champion this check passes.
    * class floor: every activity present in the labels is recognised in `class_floor` of its windows or more.
    * latency: the 99th percentile of one window lies within the limit.

    Args:
        challenger: its outcome on the held-out windows.
        champion: its outcome on the same windows; None: there is no champion yet.
        margin: how far below the champion's accuracy the challenger's may lie, 0 … 1.
        class_floor: least recall of every activity present, 0 … 1.
        latency_ms_limit: largest 99th percentile allowed.
        latency_ms_p99: the challenger's 99th percentile.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        NotEnoughDataError: no windows.
        EvaluationError: the two outcomes are not about the same windows.
    """
    if not len(challenger):
        raise NotEnoughDataError(
            where="gate",
            expected="one labelled window of a held-out subject at least",
            got="none",
            remedy="Ingest labelled recordings of the subjects that judge (split.held_out in har.toml).",
        )
    difference = low = high = None
    if champion is None:
        own = _percent(float((challenger.answers == challenger.labels).mean()))
        accuracy_ok, accuracy_reason = True, f"There is no champion to compare with; accuracy is {own}."
    else:
        require_same_windows(challenger, champion, where="gate")
        difference, low, high = _difference(challenger, champion, resamples, seed)
        accuracy_ok = (difference if low is None else low) >= -margin - _ROUNDING
        accuracy_reason = _explain_difference(challenger, champion, difference, low, margin, accuracy_ok)
    floor_ok, floor_reason = _class_floor(challenger, class_floor)
    latency_ok = latency_ms_p99 <= latency_ms_limit
    latency_reason = (
        f"The 99th percentile of one window takes {latency_ms_p99:.2f} ms, "
        f"{'within' if latency_ok else 'above'} the limit of {latency_ms_limit:g} ms."
    )
    checks = {"accuracy": bool(accuracy_ok), "class_floor": floor_ok, "latency": bool(latency_ok)}
    return Verdict(
        promote=all(checks.values()),
        reasons=[accuracy_reason, floor_reason, latency_reason],
        difference=difference,
        low=low,
        high=high,
        checks=checks,
    )


def _difference(
    challenger: Outcome, champion: Outcome, resamples: int, seed: int
) -> tuple[float, float | None, float | None]:
    names, subject = np.unique(challenger.subjects, return_inverse=True)
    right = challenger.answers == challenger.labels
    gained = right.astype(np.float64) - (champion.answers == champion.labels)
    difference = float(gained.mean())
    if len(names) < LEAST_SUBJECTS:
        return difference, None, None
    weights = metrics.resample_subjects(len(names), resamples, seed)
    draws = (weights @ np.bincount(subject, gained)) / (weights @ np.bincount(subject))
    low, high = np.percentile(draws, (_BOUND, 100 - _BOUND))
    return difference, float(low), float(high)


def _explain_difference(
    challenger: Outcome, champion: Outcome, difference: float, low: float | None, margin: float, passed: bool
) -> str:
    own, its = (float((outcome.answers == outcome.labels).mean()) for outcome in (challenger, champion))
    figures = f"accuracy {_percent(own)} against the champion's {_percent(its)}, {_points(difference)}"
    if low is None:
        count = len(np.unique(challenger.subjects))
        basis = f"the difference itself, as {count} held-out subject{'s are' if count > 1 else ' is'} too few to bound"
        bound = difference
    else:
        basis = f"with 95 % confidence no less than {_points(low)} for new subjects"
        bound = low
    if not passed:
        return f"Not shown to lie within the margin of {_points(-margin)}: {figures} ({basis})."
    word = "Better" if bound > 0 else f"Non-inferior within the margin of {_points(-margin)}"
    return f"{word}: {figures} ({basis})."


def _class_floor(outcome: Outcome, floor: float) -> tuple[bool, str]:
    actual = np.bincount(outcome.labels, minlength=len(outcome.activities))
    hits = np.bincount(outcome.labels[outcome.answers == outcome.labels], minlength=len(outcome.activities))
    recall = {outcome.activities[k]: float(hits[k] / actual[k]) for k in np.flatnonzero(actual)}
    below = {name: value for name, value in recall.items() if value < floor - _ROUNDING}
    if below:
        listed = ", ".join(f"{name} {_percent(value)}" for name, value in sorted(below.items(), key=lambda it: it[1]))
        return False, f"Recall below the floor of {_percent(floor)}: {listed}."
    worst = min(recall, key=lambda name: recall[name])
    return True, (
        f"Every activity present reaches the floor of {_percent(floor)} recall; the least is {worst} with "
        f"{_percent(recall[worst])}."
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points"
