"""The judge, and two gates that are in use elsewhere, on the same replays."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from har.release import Limits, quality
from har.release._quality import CLASSES_RISK, LABELS_RISK
from tests.bench.release._many import FAIL, HOLD, PASS, Prepared, accuracy, guards, shown_worse
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

    def add(self, other: Seen) -> None:
        """Further replays."""
        for name in ("failed", "passed", "shown"):
            getattr(self, name).extend(getattr(other, name))

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


def judged(prepared: Prepared, people: Ints, variants: Ints, limits: Limits) -> tuple[Seen, Seen]:
    """The judge, asked at each look of R replays, without labels and with them.

    Args:
        prepared: of one pair.
        people: (R, S).
        variants: (R, S), their streams.
        limits: of the release.
    """
    count = len(people)
    failed, passed, shown = (np.full((2, count), -1) for _ in range(3))
    certain = math.log(1 / (limits.risk * LABELS_RISK))
    for look, windows in enumerate(LOOKS):
        requests = people.shape[1] * windows // PER_REQUEST
        classes = guards(prepared, people, variants, look, limits.risk * CLASSES_RISK)
        worse = shown_worse(prepared, people, variants, look) >= certain
        shown[1] = np.where((shown[1] < 0) & worse, requests, shown[1])
        for labels in (0, 1):
            verdict = np.maximum(classes, accuracy(prepared, people, variants, look, limits, labels=bool(labels)))
            goes_on = failed[labels] < 0
            failed[labels] = np.where(goes_on & (verdict == FAIL), requests, failed[labels])
            good = goes_on & (verdict == PASS) & (passed[labels] < 0)
            passed[labels] = np.where(good, requests, passed[labels])
    without, labelled = (Seen(*(one[labels].tolist() for one in (failed, passed, shown))) for labels in (0, 1))
    return without, labelled


def require_same(prepared: Prepared, people: Ints, variants: Ints, limits: Limits) -> None:
    """The judge of `har.release` says the same about each of these replays.

    Raises:
        AssertionError: it does not.
    """
    numbers = {"pass": PASS, "hold": HOLD, "fail": FAIL}
    for look in range(len(LOOKS)):
        classes = guards(prepared, people, variants, look, limits.risk * CLASSES_RISK)
        for labels in (False, True):
            short = np.maximum(classes, accuracy(prepared, people, variants, look, limits, labels=labels))
            for row, (who, which) in enumerate(zip(people, variants, strict=True)):
                checks = quality(prepared.streams.paired(who, which, look, labels=labels), limits)
                long = max(numbers[check.verdict] for check in checks)
                if long != short[row]:
                    raise AssertionError(f"look {look}, labels {labels}, replay {row}: {long} and {short[row]}")


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
