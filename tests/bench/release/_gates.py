"""The judge, and two gates that are in use elsewhere, on the same replays."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from har.release import Limits
from har.release._classes import class_guards
from har.release._judge import accuracy
from har.release._quality import CLASSES_RISK, LABELS_RISK, labelled_difference
from tests.bench.release._replays import LOOKS, PER_REQUEST, WINDOWS, Floats, Ints, Streams

_SLICE = 16
"""Windows of each person that make one value of a time series."""
_LEAST_SLICES = 4
KAYENTA = 0.02
"""Kayenta's judge calls a metric low where Mann-Whitney's test says so with 98 % confidence."""


@dataclass
class Seen:
    """What a gate did in the replays of one case: requests at the first look with this outcome, -1: never."""

    failed: list[int] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    """The same of the bets on "worse", without the margin."""

    def figures(self) -> dict[str, float | None]:
        """Shares of the replays; delays in requests."""
        failed, passed = np.array(self.failed), np.array(self.passed)
        found: dict[str, float | None] = {
            "replays": len(failed),
            "taken back": float((failed >= 0).mean()),
            "delay": float(np.median(failed[failed >= 0])) if (failed >= 0).any() else None,
        }
        if self.passed:
            good = (passed >= 0) & ((failed < 0) | (passed < failed))
            found |= {
                "passed": float(good.mean()),
                "passed after": float(np.median(passed[good])) if good.any() else None,
                "shown worse": float((np.array(self.shown) >= 0).mean()),
                "held": float(((failed < 0) & (passed < 0)).mean()),
            }
        return found


def judged(streams: Streams, people: Ints, variants: Ints, limits: Limits, without: Seen, labelled: Seen) -> None:
    """One replay: the judge is asked at each look, without labels and with them."""
    failed, passed, shown = [-1, -1], [-1, -1], [-1, -1]
    certain = math.log(1 / (limits.risk * LABELS_RISK))
    for look, windows in enumerate(LOOKS):
        requests = len(people) * windows // PER_REQUEST
        evidence = [streams.paired(people, variants, look, labels=labels) for labels in (False, True)]
        guards = {check.verdict for check in class_guards(evidence[0], limits.risk * CLASSES_RISK)}
        for labels in (False, True):
            if labels and shown[1] < 0 and labelled_difference(evidence[1]).worse >= certain:
                shown[1] = requests
            if failed[labels] >= 0:
                continue
            verdicts = guards | {accuracy(evidence[labels], limits).verdict}
            if "fail" in verdicts:
                failed[labels] = requests
            elif verdicts == {"pass"} and passed[labels] < 0:
                passed[labels] = requests
    for labels, seen in enumerate((without, labelled)):
        seen.failed.append(failed[labels])
        seen.passed.append(passed[labels])
        seen.shown.append(shown[labels])


def thresholds(
    streams: Streams, people: Ints, variants: Ints, others: tuple[Ints, Ints], margin: float, *, labels: bool
) -> tuple[Seen, Seen]:
    """A fixed threshold and Mann-Whitney's test, for R replays at once.

    They compare the canary's requests with those of as many other people whom the former version answers, as release
    tools do: the share of right answers where there are labels, else the mean confidence.

    Args:
        streams: of one pair.
        people: (R, S), whom the canary answers.
        variants: (R, S), their streams.
        others: (R, S) each, whom the former version answers.
        margin: of the fixed threshold.
        labels: whether a quarter of the requests has feedback.
    """
    ours, theirs = (streams.right, streams.former_right) if labels else (streams.sure, streams.former_sure)
    known = (np.arange(WINDOWS) // PER_REQUEST) % 4 == 0 if labels else np.ones(WINDOWS, bool)
    mine, usual = (
        one.reshape(*one.shape[:2], -1, _SLICE)[..., known.reshape(-1, _SLICE)[0]].mean(axis=-1)[at].mean(axis=1)
        for one, at in ((ours, (people, variants)), (theirs, others))
    )
    return (
        _first(mine, usual, people.shape[1], lambda a, b: a.mean(axis=1) < b.mean(axis=1) - margin),
        _first(mine, usual, people.shape[1], _is_lower),
    )


def _is_lower(canary: Floats, baseline: Floats) -> NDArray[np.bool_]:
    result = mannwhitneyu(canary, baseline, alternative="less", axis=1, method="asymptotic")
    lower: NDArray[np.bool_] = np.nan_to_num(result.pvalue, nan=1.0) < KAYENTA
    return lower


def _first(canary: Floats, baseline: Floats, subjects: int, is_worse: object) -> Seen:
    """The first look at which a gate takes the version back; canary and baseline: (R, slices)."""
    failed = np.full(len(canary), -1)
    for windows in LOOKS:
        slices = windows // _SLICE
        if slices < _LEAST_SLICES:
            continue
        worse = is_worse(canary[:, :slices], baseline[:, :slices])  # type: ignore[operator]
        failed = np.where((failed < 0) & worse, subjects * windows // PER_REQUEST, failed)
    return Seen(failed.tolist())
