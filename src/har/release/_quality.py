"""How the accuracy of a new version compares with the former one's, from windows that both answered.

What takes a version back, and what lets it pass, are different questions, and have different units of evidence.

* **Worse for others, too** is a statement about people whom the version has not met yet. Windows of a person depend on
  each other, and versions that are equally good on the whole differ from person to person; so a person is one
  observation, frozen after so many labelled windows (`LABELLED_ROUNDS`), in [-1, 1]. Each is worth a coin at the most:
  eight people win the bet at 1 % if all speak against the version, and three never do.
* **As good for those whom it serves** is a statement about the people whom it has met, because the next step asks
  again: observations are blocks of windows of one person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from har.release._betting import bounds, log_wealth
from har.release._paired import LABELLED_ROUNDS, SUMS, Floats, Paired
from har.release._values import SURE

_WINDOWS, _DIFFER, _EXPECTED, _LABELLED, _BETTER, _WORSE = range(len(SUMS))
LEAST_BLOCKS = 8
LEAST_LABELS = 64
"""Labelled windows, from which on labels against a version let it wait."""
SMOOTH = 1.0
"""Windows with different answers that are added to each person's: one alone says little."""
LARGE = 0.15
"""Points below the former version's accuracy, beyond the margin's, that take a version back with any number of
subjects, if they are certain on their windows."""
LARGE_RISK = 0.001
LARGEST_OFFSET = 0.1
"""A version that is less sure by more, where both agree, waits for labels."""
LABELS_RISK, CLASSES_RISK = 0.8, 0.2
"""How `release.risk` is divided between the two tests that take a version back by chance."""


@dataclass(frozen=True)
class Difference:
    """What is known about the accuracy of the new version minus the former one's.

    Attributes:
        value: over the blocks; None without any.
        low, high: bounds at `SURE`, for the people whom it serves.
        windows, subjects: behind it; subjects: in the first round.
        worse: log of the wealth of the bets on "worse", by the best round, less the price of several rounds.
        certain: upper bound at 0.1 %, for the people whom it serves.
    """

    value: float | None
    low: float
    high: float
    windows: int
    subjects: int
    worse: float
    certain: float


def labelled_difference(paired: Paired) -> Difference:
    """From labelled windows: the share of right answers of the new version minus the former one's.

    The bet on "worse" is an anytime-valid McNemar test by person: where only one of the two is right, the share of such
    windows that the former version won, minus the share that the new one won.
    """
    blocks = paired.labelled_blocks
    losses = [
        (sums[:, _WORSE] - sums[:, _BETTER]) / (sums[:, _WORSE] + sums[:, _BETTER] + SMOOTH) for sums in paired.rounds
    ]
    wealth = [float(log_wealth(one, 1.0).max()) for one in losses if len(one)]
    return _difference(
        (blocks[:, _BETTER] - blocks[:, _WORSE]) / np.maximum(blocks[:, _LABELLED], 1),
        windows=int(blocks[:, _LABELLED].sum()),
        subjects=max((len(one) for one in losses), default=0),
        worse=max(wealth, default=0.0) - math.log(len(LABELLED_ROUNDS)),
    )


def expected_difference(paired: Paired) -> Difference:
    """From both versions' confidences, without labels: where the answers differ, P(new is right) - P(former is right).

    A confidence is calibrated in training, so it estimates the chance of being right. What the versions' confidences
    differ by where they agree says nothing about who is right elsewhere, and is taken off. The estimate has the right
    sign and is too small by far (`make bench-release`), so it lets nothing pass alone.
    """
    blocks = paired.blocks
    gains = blocks[:, _EXPECTED] - confidence_offset(paired) * blocks[:, _DIFFER]
    return _difference(
        gains / np.maximum(blocks[:, _WINDOWS], 1),
        windows=int(blocks[:, _WINDOWS].sum()),
        subjects=len(paired.subjects),
    )


def disagreement(paired: Paired) -> tuple[float, float, float]:
    """Share of windows with different answers, and its bounds at `SURE` for the people whom the version serves."""
    blocks = paired.blocks
    if len(blocks) < LEAST_BLOCKS:
        return 0.0, 0.0, 1.0
    per_block = blocks[:, _DIFFER] / blocks[:, _WINDOWS]
    low, high = bounds(per_block, SURE)
    return float(per_block.mean()), max(float(low), 0.0), min(float(high), 1.0)


def confidence_offset(paired: Paired) -> float:
    """The new version's mean confidence minus the former one's, on windows with the same answer."""
    return paired.sure - paired.former_sure if paired.agreeing else 0.0


def _difference(per_block: Floats, *, windows: int, subjects: int, worse: float = 0.0) -> Difference:
    low, high, certain = -math.inf, math.inf, math.inf
    if len(per_block) >= LEAST_BLOCKS:
        low, high = map(float, bounds(per_block, SURE))
        certain = float(bounds(per_block, LARGE_RISK)[1])
    value = float(per_block.mean()) if len(per_block) else None
    return Difference(value, low, high, windows, subjects, worse, certain)
