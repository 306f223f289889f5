"""Whether a new version is as good as the former one, from windows that both answered; with labels and without.

What takes a version back, and what lets it pass, are different questions, and have different units of evidence.

* **Fail** is a statement about people whom the version has not met yet: it would be worse for them, too. Windows of a
  person depend on each other, and versions that are equally good on the whole differ from person to person; so a person
  is one observation, frozen after so many windows (`ROUNDS`), in [-1, 1]. A fair coin for each person wins the bet at
  1 % with seven of them at the least: with fewer, only a large effect takes a version back.
* **Pass** is a statement about the people whom it serves now, because the next step asks again: observations are blocks
  of `BLOCK` windows of one person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from har.release._betting import Floats, bounds, log_wealth
from har.release._paired import SUMS, Paired
from har.release._values import SURE

_WINDOWS, _DIFFER, _EXPECTED, _LABELLED, _BETTER, _WORSE = range(len(SUMS))
LEAST_BLOCKS = 8
_SMOOTH = 5.0
"""Windows with different answers that each person is credited with on both sides: one alone says little."""
LARGE = 0.15
"""Points below the former version's accuracy, beyond the margin's, that take a version back with any number of
subjects, if they are certain on their windows."""
_LARGE_RISK = 0.001
LARGEST_OFFSET = 0.1
"""If the versions' mean confidences differ by more where they agree, they do not mean the same by it."""
RISKS = {"labels": 0.5, "expected": 0.25, "classes": 0.25}
"""How `release.risk` is divided among the tests that take a version back."""


@dataclass(frozen=True)
class Difference:
    """What is known about the accuracy of the new version minus the former one's.

    Attributes:
        value: over the blocks; None without any.
        low, high: bounds at `SURE`, for the people whom it serves.
        windows, subjects: behind it; subjects: in the first round.
        shown_worse: log of the wealth of the bets on "worse", by the best round, less the price of several rounds.
        certain: upper bound at 0.1 %, for the people whom it serves.
    """

    value: float | None
    low: float
    high: float
    windows: int
    subjects: int
    shown_worse: float
    certain: float


def labelled_difference(paired: Paired) -> Difference:
    """From labelled windows: the paired difference of the shares of right answers (McNemar's)."""
    blocks, gains = paired.labelled_blocks, (_BETTER, _WORSE)
    per_block = (blocks[:, gains[0]] - blocks[:, gains[1]]) / np.maximum(blocks[:, _LABELLED], 1)
    # Where only one is right, the loser is known: the share of such windows that the former version won, per person.
    losses = [
        (sums[:, _WORSE] - sums[:, _BETTER]) / (sums[:, _WORSE] + sums[:, _BETTER] + _SMOOTH)
        for sums in paired.labelled_rounds
    ]
    return _difference(per_block, blocks[:, _LABELLED], losses, least=1.0)


def expected_difference(paired: Paired, margin: float) -> Difference:
    """From both versions' confidences, without labels: where the answers differ, P(new is right) - P(former is right).

    A confidence is calibrated in training, so it estimates the chance of being right. What the versions' confidences
    differ by where they agree says nothing about who is right elsewhere, and is taken off.
    """
    offset = confidence_offset(paired)
    blocks = paired.blocks
    per_block = (blocks[:, _EXPECTED] - offset * blocks[:, _DIFFER]) / np.maximum(blocks[:, _WINDOWS], 1)
    share = max(float(blocks[:, _DIFFER].sum() / max(blocks[:, _WINDOWS].sum(), 1)), 1e-9)
    allowed = min(margin / share, 1.0)  # of the windows with different answers: worse by more than the margin in all
    losses = [
        -(sums[:, _EXPECTED] - offset * sums[:, _DIFFER]) / (sums[:, _DIFFER] + _SMOOTH) - allowed
        for sums in paired.rounds
    ]
    return _difference(per_block, blocks[:, _WINDOWS], losses, least=1.0 + abs(offset) + allowed)


def disagreement(paired: Paired) -> tuple[float | None, float, float]:
    """Share of windows with different answers, and its bounds at `SURE` for the people whom the version serves."""
    blocks = paired.blocks
    if not len(blocks):
        return None, 0.0, 1.0
    per_block = blocks[:, _DIFFER] / blocks[:, _WINDOWS]
    low, high = bounds(per_block, SURE)
    return float(per_block.mean()), max(low, 0.0), min(high, 1.0)


def confidence_offset(paired: Paired) -> float:
    """The new version's mean confidence minus the former one's, on windows with the same answer."""
    return paired.sure - paired.former_sure if paired.agreeing else 0.0


def _difference(per_block: Floats, windows: Floats, losses: list[Floats], *, least: float) -> Difference:
    """Put together what blocks and rounds say; `losses` are at most 0 on average for a version that is good enough."""
    low, high = bounds(per_block, SURE) if len(per_block) >= LEAST_BLOCKS else (-math.inf, math.inf)
    certain = bounds(per_block, _LARGE_RISK)[1] if len(per_block) >= LEAST_BLOCKS else math.inf
    wealth = [float(log_wealth(one, least).max()) for one in losses if len(one)]
    return Difference(
        value=float(per_block.mean()) if len(per_block) else None,
        low=low,
        high=high,
        windows=int(windows.sum()),
        subjects=max((len(one) for one in losses), default=0),
        shown_worse=max(wealth, default=0.0) - math.log(max(len(losses), 1)),
        certain=certain,
    )
