"""The gate: two outcomes on the same windows in, a verdict with its reasons out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import NotEnoughDataError
from har.evaluation._bootstrap import RESAMPLES, bootstrap_mean
from har.evaluation._format import percent, points
from har.evaluation._latency import LatencyRatio
from har.evaluation._outcome import Outcome, require_same_windows

_BOUNDS = (5.0, 95.0)
"""Percentiles of the one-sided 95 % bounds."""
_ROUNDING = 1e-9
"""0.85 - 0.87 lies below -0.02 in binary; a difference of exactly the margin passes."""
_BY_HAND = "by hand: har promote VERSION --reason WHY."
_RATIO_SETTING = {"champion": "gates.latency_ratio", "reference": "gates.reference_ratio"}
_COMPARED_WITH = {"champion": "the champion", "reference": "the reference network"}


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger may replace the champion, and why.

    Attributes:
        promote: every check passed.
        reasons: one sentence with figures per check, passed or not; then a warning where the latency is over budget.
        difference: challenger's accuracy minus the champion's on the same windows; None without a champion.
        low: one-sided 95 % lower bound of the difference, from a paired bootstrap over subjects; None without a
            champion, or with fewer than three subjects.
        high: one-sided 95 % upper bound, likewise.
        checks: `accuracy`, `class_floor` and `latency`; True: passed. After a drift `accuracy_old` and `accuracy_new`
            stand in place of `accuracy`.
        latency: what the latency check rests on: against (champion or reference), ratio, limit, the two median_us and
            against_median_us, pairs; and for information wall_p50_ms, wall_p99_ms and budget_ms.
        old: after a drift, the figures on the windows before it: windows, subjects, challenger, champion (accuracies),
            difference, low, high; figures that could not be computed are None.
        new: likewise on the windows since.
        disagreement: share of the windows on which the two answered differently; after a drift, of those since. A
            release into the online service lets so much pass. None without a champion.
    """

    promote: bool
    reasons: list[str]
    difference: float | None
    low: float | None
    high: float | None
    checks: dict[str, bool]
    latency: dict[str, float | str]
    old: dict[str, float | None] | None = None
    new: dict[str, float | None] | None = None
    disagreement: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class OwnLimits:
    """What a challenger must hold in every case, and its latency.

    Attributes:
        class_floor: least recall of every activity present, 0 … 1.
        latency_ratio: largest ratio allowed, against whatever `measured` compares with.
        measured: the challenger's processor time beside the champion's or the reference network's.
        latency_ms: budget for the 99th percentile of one window's wall-clock time; above it the verdict warns.
        wall_p50_ms: the challenger's median wall-clock time.
        wall_p99_ms: its 99th percentile.
    """

    class_floor: float
    latency_ratio: float
    measured: LatencyRatio
    latency_ms: float
    wall_p50_ms: float
    wall_p99_ms: float

    def check(self, challenger: Outcome) -> tuple[dict[str, bool], list[str]]:
        """The checks by name; a sentence for each, and a warning where the latency is over budget."""
        floor_passed, floor_reason = _class_floor(challenger, self.class_floor)
        latency_passed = bool(self.measured.ratio <= self.latency_ratio)
        reasons = [floor_reason, self._explain_ratio(latency_passed)]
        if not self.wall_p99_ms <= self.latency_ms:
            reasons.append(
                f"Warning: the 99th percentile of wall-clock time for one window is {self.wall_p99_ms:.2f} ms (median "
                f"{self.wall_p50_ms:.2f} ms), over the budget of {self.latency_ms:g} ms (gates.latency_ms). It refuses "
                "nothing, as other processes on the machine lengthen it."
            )
        return {"class_floor": floor_passed, "latency": latency_passed}, reasons

    @property
    def latency(self) -> dict[str, float | str]:
        """The figures of the latency check, for the promotion log."""
        return {
            **asdict(self.measured),
            "limit": self.latency_ratio,
            "wall_p50_ms": self.wall_p50_ms,
            "wall_p99_ms": self.wall_p99_ms,
            "budget_ms": self.latency_ms,
        }

    def _explain_ratio(self, passed: bool) -> str:
        measured, other = self.measured, _COMPARED_WITH[self.measured.against]
        figures = (
            f"One window takes {measured.ratio:.2f} times the processor time that {other} takes, measured side by side "
            f"(medians {_milliseconds(measured.median_us)} and {_milliseconds(measured.against_median_us)}, "
            f"{measured.pairs} pairs of calls)"
        )
        if passed:
            return f"{figures}, within the limit of {self.latency_ratio:g} times."
        setting = _RATIO_SETTING[measured.against]
        limit = f"above the limit of {self.latency_ratio:g} times"
        return f"{figures}, {limit}. Raise {setting} in har.toml, or decide {_BY_HAND}"


def compare(
    challenger: Outcome,
    champion: Outcome | None,
    limits: OwnLimits,
    *,
    margin: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """Decide whether the challenger may replace the champion; all three checks must pass.

    * accuracy: better than the champion or non-inferior to it, that is, the lower bound of the difference is -margin
      or more. With fewer than three subjects the difference itself must be; without a champion this check passes.
    * class floor: for every activity present in the labels, the recall is `class_floor` or more.
    * latency: one window takes at most `latency_ratio` times the processor time of the model it was measured against.

    Args:
        challenger: its outcome on the held-out windows.
        champion: its outcome on the same windows; None: there is no champion yet.
        limits: the checks that need no champion's outcome.
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
        accuracy = percent(challenger.accuracy)
        accuracy_passed, accuracy_reason = True, f"There is no champion to compare with; accuracy is {accuracy}."
    else:
        require_same_windows(challenger, champion, where="gate")
        difference, low, high = _difference(challenger, champion, resamples, seed)
        accuracy_passed = (difference if low is None else low) >= -margin - _ROUNDING
        accuracy_reason = _explain_difference(challenger, champion, difference, low, margin, accuracy_passed)
    checks, reasons = limits.check(challenger)
    checks = {"accuracy": bool(accuracy_passed), **checks}
    return Verdict(
        promote=all(checks.values()),
        reasons=[accuracy_reason, *reasons],
        difference=difference,
        low=low,
        high=high,
        checks=checks,
        latency=limits.latency,
        disagreement=None if champion is None else _disagreement(challenger, champion),
    )


def compare_after_drift(
    challenger: Outcome,
    champion: Outcome,
    is_new: NDArray[np.bool_],
    limits: OwnLimits,
    *,
    old_margin: float,
    least_windows: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """Decide about a challenger that was trained because of drift; all four checks must pass.

    * old: on the windows before the drift it is non-inferior to the champion within `old_margin`.
    * new: on the windows since then it is better: the difference lies above 0, and so does its lower bound.
    * class floor and latency: as in `compare`, over all windows.

    Bounds are one-sided, 95 %, from a paired bootstrap over subjects; with fewer than three subjects the difference
    itself decides. A side with fewer than `least_windows` windows cannot be compared, and its check fails.

    Args:
        challenger: its outcome on the held-out windows.
        champion: its outcome on the same windows.
        is_new: bool (N,), which of the windows are of the new distribution.
        limits: the checks that need no champion's outcome.
        old_margin: how far below the champion's accuracy the challenger's may lie on the old windows, 0 … 1.
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
        checks[f"accuracy_{name}"], reason = _check_side(name, side, least, least_windows)
        reasons.append(reason)
        sides[name] = side
    further_checks, further_reasons = limits.check(challenger)
    checks |= further_checks
    return Verdict(
        promote=all(checks.values()),
        reasons=[*reasons, *further_reasons],
        difference=whole["difference"],
        low=whole["low"],
        high=whole["high"],
        checks=checks,
        latency=limits.latency,
        old=sides["old"],
        new=sides["new"],
        disagreement=_disagreement(challenger, champion, is_new if is_new.any() else slice(None)),
    )


def _disagreement(challenger: Outcome, champion: Outcome, chosen: NDArray[np.bool_] | slice = slice(None)) -> float:
    return float((challenger.answers != champion.answers)[chosen].mean())


def refuse_to_compare(challenger: Outcome, differing: Sequence[str], limits: OwnLimits) -> Verdict:
    """The verdict on a challenger that takes other windows than the champion, or names other activities.

    Which of the two is better cannot be measured on the same windows, so the champion stays until a person decides.
    The checks that need no champion are made all the same.

    Args:
        challenger: its outcome on the held-out windows.
        differing: in which of the metadata the two differ, such as `activities` or `length`.
        limits: the checks that need no champion's outcome.

    Raises:
        NotEnoughDataError: no windows.
    """
    _require_windows(challenger)
    checks, reasons = limits.check(challenger)
    reason = (
        f"The champion was made for other {' and other '.join(differing)}, so the two cannot be compared window by "
        f"window; accuracy is {percent(challenger.accuracy)}. Decide {_BY_HAND}"
    )
    return Verdict(
        promote=False,
        reasons=[reason, *reasons],
        difference=None,
        low=None,
        high=None,
        checks={"accuracy": False, **checks},
        latency=limits.latency,
    )


_SIDES = {"old": "the days before the drift", "new": "the days since the drift began"}


def _check_side(name: str, side: dict[str, float | None], least: float, least_windows: int) -> tuple[bool, str]:
    where = _SIDES[name]
    windows, subjects, difference = side["windows"] or 0, side["subjects"] or 0, side["difference"]
    if difference is None or windows < least_windows:
        return False, (
            f"The {name} distribution cannot be compared: held-out subjects have {windows:g} labelled windows of "
            f"{where}, and {least_windows} are needed."
        )
    low = side["low"]
    bound = difference if low is None else low
    figures = (
        f"accuracy {percent(side['challenger'] or 0)} against the champion's {percent(side['champion'] or 0)}, "
        f"{points(difference)} ({_basis(int(subjects), low)}; {windows:g} windows)"
    )
    if name == "old":
        passed = bound >= least - _ROUNDING
        word = "Non-inferior within" if passed else "Not shown to lie within"
        return passed, f"{word} the margin of {points(least)} on {where}: {figures}."
    passed = difference > _ROUNDING and bound > _ROUNDING
    return passed, f"{'Better' if passed else 'Not shown to be better'} on {where}: {figures}."


def _figures(challenger: Outcome, champion: Outcome, resamples: int, seed: int) -> dict[str, float | None]:
    figures: dict[str, float | None] = dict.fromkeys(("challenger", "champion", "difference", "low", "high"))
    figures |= {"windows": len(challenger), "subjects": len(np.unique(challenger.subjects))}
    if len(challenger):
        figures["challenger"], figures["champion"] = challenger.accuracy, champion.accuracy
        figures["difference"], figures["low"], figures["high"] = _difference(challenger, champion, resamples, seed)
    return figures


def _require_windows(challenger: Outcome) -> None:
    if not len(challenger):
        raise NotEnoughDataError(
            where="gate",
            expected="at least one labelled window of a held-out subject",
            got="none",
            remedy="Ingest labelled recordings of the held-out subjects (split.held_out in har.toml).",
        )


def _difference(
    challenger: Outcome, champion: Outcome, resamples: int, seed: int
) -> tuple[float, float | None, float | None]:
    """Challenger's accuracy minus the champion's, with its one-sided bounds; without these for too few subjects."""
    gained = challenger.correct.astype(np.float64) - champion.correct
    bounds = bootstrap_mean(gained, challenger.subjects, _BOUNDS, resamples=resamples, seed=seed)
    low, high = bounds or (None, None)
    return float(gained.mean()), low, high


def _explain_difference(
    challenger: Outcome, champion: Outcome, difference: float, low: float | None, margin: float, passed: bool
) -> str:
    figures = (
        f"accuracy {percent(challenger.accuracy)} against the champion's {percent(champion.accuracy)}, "
        f"{points(difference)}"
    )
    bound = difference if low is None else low
    basis = _basis(len(np.unique(challenger.subjects)), low)
    if not passed:
        return f"Not shown to lie within the margin of {points(-margin)}: {figures} ({basis})."
    word = "Better" if bound > 0 else f"Non-inferior within the margin of {points(-margin)}"
    return f"{word}: {figures} ({basis})."


def _basis(subjects: int, low: float | None) -> str:
    """What the bound of a difference rests on."""
    if low is None:
        few = f"{subjects} held-out subject{'s are' if subjects > 1 else ' is'} too few to bound"
        return f"the difference itself, as {few}"
    return f"with 95 % confidence no less than {points(low)} for new subjects"


def _class_floor(outcome: Outcome, floor: float) -> tuple[bool, str]:
    actual = np.bincount(outcome.labels, minlength=len(outcome.activities))
    hits = np.bincount(outcome.labels[outcome.correct], minlength=len(outcome.activities))
    recall = {outcome.activities[k]: float(hits[k] / actual[k]) for k in np.flatnonzero(actual)}
    below = {name: value for name, value in recall.items() if value < floor - _ROUNDING}
    if below:
        listed = ", ".join(f"{name} {percent(value)}" for name, value in sorted(below.items(), key=lambda it: it[1]))
        return False, f"Recall below the floor of {percent(floor)}: {listed}."
    worst = min(recall, key=lambda name: recall[name])
    return True, (
        f"Every activity present reaches the floor of {percent(floor)} recall; the lowest is {worst} with "
        f"{percent(recall[worst])}."
    )


def _milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1e3:.3f} ms"
