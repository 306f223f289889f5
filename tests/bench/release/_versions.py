"""Pairs of versions: retrainings that are as good, versions that are worse by so many points, or in one class."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from tests.bench.release._answers import SEEDS, Recorded
from tests.bench.release._replays import Pair

EQUAL = 0.01
"""Retrainings whose accuracies differ by less are as good."""
_FEW = ((0, 1), (1, 2), (2, 3), (3, 0), (1, 0), (2, 1), (3, 2))
"""New and former version of a worse pair, before it is made worse."""
_BOUT = 8
"""Windows in a row that a worse version answers worse, or not."""

Bools = NDArray[np.bool_]


def equal_pairs(recorded: Recorded) -> list[Pair]:
    """The same version twice, and retrainings whose accuracies differ by less than a point, in both orders."""
    accuracies = recorded.accuracies
    pairs = [_pair(recorded, "same", 0, 0)]
    for new, former in permutations(range(len(SEEDS)), 2):
        if abs(accuracies[new] - accuracies[former]) < EQUAL:
            pairs.append(_pair(recorded, f"seeds {new} and {former}", new, former))
    return pairs


def worse_pairs(recorded: Recorded, points: float, rng: np.random.Generator, *, sure: bool) -> list[Pair]:
    """Versions whose accuracy is so many points below the former one's, for recorded people on average.

    Args:
        recorded: the answers.
        points: such as 5.
        rng: chooses where it is worse.
        sure: as sure of its wrong answers as of right ones, as after a fault in the code; False: as unsure as a network
            that was trained too little.
    """
    pairs = []
    for new, former in _FEW:
        base, weak = _pair(recorded, "", new, former), _pair(recorded, "", len(SEEDS), former)
        if sure:
            wrong = (base.new + rng.integers(1, len(recorded.activities), len(base.new))) % len(recorded.activities)
            weak = Pair("", wrong, base.former, base.sure, base.former_sure)
        # Bouts in a random order, as many of them as it takes.
        bouts = np.cumsum(np.r_[True, np.diff(recorded.recordings) != 0] | (np.arange(len(base.new)) % _BOUT == 0))
        rank = rng.random(bouts.max() + 1)[bouts]
        target = accuracy(recorded, base.former) - points / 100
        low, high = 0.0, 1.0
        for _ in range(30):
            share = (low + high) / 2
            mixed = _mixed(base, weak, rank < share)
            low, high = (low, share) if accuracy(recorded, mixed.new) < target else (share, high)
        pairs.append(_mixed(base, weak, rank < high))
    return pairs


def better_pairs(recorded: Recorded, points: float, rng: np.random.Generator) -> list[Pair]:
    """Retrainings after a drift: the former version is worse by so many points, and unsure."""
    return [
        Pair(one.name, one.former, one.new, one.former_sure, one.sure)
        for one in worse_pairs(recorded, points, rng, sure=False)
    ]


def broken_pairs(recorded: Recorded) -> list[Pair]:
    """Retrainings that give another answer in place of one class, and are as sure of it."""
    pairs = []
    for number, (new, former) in enumerate(_FEW):
        base, broken = _pair(recorded, "", new, former), number % len(recorded.activities)
        answers = np.where(base.new == broken, (broken + 1) % len(recorded.activities), base.new)
        pairs.append(Pair(recorded.activities[broken], answers, base.former, base.sure, base.former_sure))
    return pairs


def single_pairs(recorded: Recorded) -> list[Pair]:
    """Versions that give one answer to everything, and are sure of it."""
    base = _pair(recorded, "", 0, 1)
    same = np.zeros_like(base.new)
    return [Pair("single", same + code, base.former, base.sure, base.former_sure) for code in range(3)]


def accuracy(recorded: Recorded, answers: NDArray[np.int64]) -> float:
    """Share of right answers; each person counts the same."""
    right = answers == recorded.labels
    return float(np.mean([right[recorded.subjects == number].mean() for number in np.unique(recorded.subjects)]))


def disagreement(recorded: Recorded) -> float:
    """What a gate would tell about retrainings: share of recorded windows with different answers."""
    answers = recorded.probabilities[: len(SEEDS)].argmax(axis=2)
    return float(np.mean([(answers[a] != answers[b]).mean() for a, b in permutations(range(len(SEEDS)), 2)]))


def differ(pairs: list[Pair]) -> float:
    """Mean share of recorded windows with different answers."""
    return float(np.mean([(pair.new != pair.former).mean() for pair in pairs]))


def _pair(recorded: Recorded, name: str, new: int, former: int) -> Pair:
    found = recorded.probabilities
    return Pair(
        name,
        found[new].argmax(axis=1),
        found[former].argmax(axis=1),
        found[new].max(axis=1).astype(np.float64),
        found[former].max(axis=1).astype(np.float64),
    )


def _mixed(base: Pair, other: Pair, where: Bools) -> Pair:
    return Pair(
        base.name,
        np.where(where, other.new, base.new),
        base.former,
        np.where(where, other.sure, base.sure),
        base.former_sure,
    )
