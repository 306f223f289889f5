"""The gate: two outcomes on the same windows in, a verdict with its reasons out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        checks: `accuracy`, `class_floor` and `latency`; True: passed. After a drift `accuracy_old` and `accuracy_new`
            stand in place of `accuracy`.
        old: after a drift, the figures on the windows before it: windows, subjects, challenger, champion (accuracies),
            difference, low, high; those that could not be had are None.
        new: likewise on the windows since.
    """

    promote: bool
    reasons: list[str]
    difference: float | None
    low: float | None
    high: float | None
    checks: dict[str, bool]
    old: dict[str, float | None] | None = None
    new: dict[str, float | None] | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class OwnLimits:
    """What a challenger must hold whether or not there is a champion.

    Attributes:
        class_floor: least recall of every activity present, 0 … 1.
        latency_ms: largest 99th percentile of one window's time that is allowed.
        latency_ms_p99: the challenger's.
    """

    class_floor: float
    latency_ms: float
    latency_ms_p99: float

    def check(self, challenger: Outcome) -> tuple[dict[str, bool], list[str]]:
        """The checks by name, and a sentence for each."""
        floor_ok, floor_reason = _class_floor(challenger, self.class_floor)
        latency_ok = self.latency_ms_p99 <= self.latency_ms
        latency_reason = (
            f"The 99th percentile of one window takes {self.latency_ms_p99:.2f} ms, "
            f"{'within' if latency_ok else 'above'} the limit of {self.latency_ms:g} ms."
        )
        return {"class_floor": floor_ok, "latency": bool(latency_ok)}, [floor_reason, latency_reason]


def compare(
    challenger: Outcome,
    champion: Outcome | None,
    limits: OwnLimits,
    *,
    margin: float,
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
        limits: the checks that need no champion.
        margin: how far below the champion's accuracy the challenger's may lie, 0 … 1.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        NotEnoughDataError: no windows.
        EvaluationError: the two outcomes are not about the same windows.
    """
    _require_windows(challenger)
    difference = low = high = None
    if champion is None:
        own = _percent(_accuracy(challenger))
        accuracy_ok, accuracy_reason = True, f"There is no champion to compare with; accuracy is {own}."
    else:
        require_same_windows(challenger, champion, where="gate")
        difference, low, high = _difference(challenger, champion, resamples, seed)
        accuracy_ok = (difference if low is None else low) >= -margin - _ROUNDING
        accuracy_reason = _explain_difference(challenger, champion, difference, low, margin, accuracy_ok)
    own_checks, own_reasons = limits.check(challenger)
    checks = {"accuracy": bool(accuracy_ok), **own_checks}
    return Verdict(
        promote=all(checks.values()),
        reasons=[accuracy_reason, *own_reasons],
        difference=difference,
        low=low,
        high=high,
        checks=checks,
    )


def compare_after_drift(
    challenger: Outcome,
    champion: Outcome,
    is_new: NDArray[np.bool_],
    limits: OwnLimits,
    *,
    old_margin: float,
    least_windows: int,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdict:
    """Judge a challenger that was trained because the world changed; all four checks must pass.

    * old: on the windows before the drift it is non-inferior to the champion within `old_margin`.
    * new: on the windows since then it is better: the difference lies above 0, and so does its lower bound.
    * class floor and latency: as `compare` has them, over all windows.

    Bounds are one-sided, 95 %, from a paired bootstrap over subjects; with fewer than three subjects the difference
    itself decides. A side with fewer than `least_windows` windows cannot be judged, and its check fails.

    Args:
        challenger: its outcome on the held-out windows.
        champion: its outcome on the same windows.
        is_new: bool (N,), which of the windows are of the new distribution.
        limits: the checks that need no champion.
        old_margin: how far below the champion's accuracy the challenger's may lie on the old one, 0 … 1.
        least_windows: of either side.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        NotEnoughDataError: no windows.
        EvaluationError: the two outcomes are not about the same windows.
    """
    _require_windows(challenger)
    require_same_windows(challenger, champion, where="gate")
    whole = _figures(challenger, champion, resamples, seed)
    checks, reasons, sides = {}, [], {}
    for name, chosen, least in (("old", ~is_new, -old_margin), ("new", is_new, 0.0)):
        side = _figures(challenger.select(chosen), champion.select(chosen), resamples, seed)
        checks[f"accuracy_{name}"], reason = _judge_side(name, side, least, least_windows)
        reasons.append(reason)
        sides[name] = side
    own_checks, own_reasons = limits.check(challenger)
    checks |= own_checks
    return Verdict(
        promote=all(checks.values()),
        reasons=[*reasons, *own_reasons],
        difference=whole["difference"],
        low=whole["low"],
        high=whole["high"],
        checks=checks,
        old=sides["old"],
        new=sides["new"],
    )


def refuse_to_compare(challenger: Outcome, other: Sequence[str], limits: OwnLimits) -> Verdict:
    """The verdict on a challenger that sees other windows than the champion, or names other activities.

    Which of the two is better cannot be measured on the same windows, so the champion stays until a person decides.
    The checks that need no champion are made all the same.

    Args:
        challenger: its outcome on the held-out windows.
        other: in which of the metadata the two differ, such as `activities` or `length`.
        limits: the checks that need no champion.

    Raises:
        NotEnoughDataError: no windows.
    """
    _require_windows(challenger)
    own_checks, own_reasons = limits.check(challenger)
    reason = (
        f"The champion was made for other {' and other '.join(other)}, so the two cannot be compared window by window; "
        f"accuracy is {_percent(_accuracy(challenger))}. Decide by hand: har promote VERSION --reason WHY."
    )
    return Verdict(
        promote=False,
        reasons=[reason, *own_reasons],
        difference=None,
        low=None,
        high=None,
        checks={"accuracy": False, **own_checks},
    )


_SIDES = {"old": "the days before the drift", "new": "the days since the drift began"}


def _judge_side(name: str, side: dict[str, float | None], least: float, least_windows: int) -> tuple[bool, str]:
    where = _SIDES[name]
    windows, subjects, difference = side["windows"] or 0, side["subjects"] or 0, side["difference"]
    if difference is None or windows < least_windows:
        return False, (
            f"It cannot be judged on the {name} distribution: held-out subjects have {windows:g} labelled windows of "
            f"{where}, and {least_windows} are needed."
        )
    low = side["low"]
    bound = difference if low is None else low
    figures = (
        f"accuracy {_percent(side['challenger'] or 0)} against the champion's {_percent(side['champion'] or 0)}, "
        f"{_points(difference)} ({_basis(int(subjects), low)}; {windows:g} windows)"
    )
    if name == "old":
        passed = bound >= least - _ROUNDING
        word = "Non-inferior within" if passed else "Not shown to lie within"
        return passed, f"{word} the margin of {_points(least)} on {where}: {figures}."
    passed = difference > _ROUNDING and bound > _ROUNDING
    return passed, f"{'Better' if passed else 'Not shown to be better'} on {where}: {figures}."


def _figures(challenger: Outcome, champion: Outcome, resamples: int, seed: int) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(("challenger", "champion", "difference", "low", "high"))
    found |= {"windows": len(challenger), "subjects": len(np.unique(challenger.subjects))}
    if len(challenger):
        found["challenger"], found["champion"] = _accuracy(challenger), _accuracy(champion)
        found["difference"], found["low"], found["high"] = _difference(challenger, champion, resamples, seed)
    return found


def _require_windows(challenger: Outcome) -> None:
    if not len(challenger):
        raise NotEnoughDataError(
            where="gate",
            expected="one labelled window of a held-out subject at least",
            got="none",
            remedy="Ingest labelled recordings of the subjects that judge (split.held_out in har.toml).",
        )


def _accuracy(outcome: Outcome) -> float:
    return float((outcome.answers == outcome.labels).mean())


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
    figures = (
        f"accuracy {_percent(_accuracy(challenger))} against the champion's {_percent(_accuracy(champion))}, "
        f"{_points(difference)}"
    )
    bound = difference if low is None else low
    basis = _basis(len(np.unique(challenger.subjects)), low)
    if not passed:
        return f"Not shown to lie within the margin of {_points(-margin)}: {figures} ({basis})."
    word = "Better" if bound > 0 else f"Non-inferior within the margin of {_points(-margin)}"
    return f"{word}: {figures} ({basis})."


def _basis(subjects: int, low: float | None) -> str:
    """What the bound of a difference rests on."""
    if low is None:
        few = f"{subjects} held-out subject{'s are' if subjects > 1 else ' is'} too few to bound"
        return f"the difference itself, as {few}"
    return f"with 95 % confidence no less than {_points(low)} for new subjects"


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
