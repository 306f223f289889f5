"""How far people agree about the windows that several of them answered, beyond chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from har.labelling._answers import Answer
from har.labelling._names import UNSURE, UNUSABLE


@dataclass(frozen=True)
class Pair:
    """Two labellers: how many windows both decided, about how many they agree, and Cohen's kappa.

    `kappa` is None where it is not defined: no common window, or both always said the same one thing.
    """

    first: str
    second: str
    windows: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """All pairs of labellers with common windows, and everybody together.

    Attributes:
        pairs: by name.
        kappa: the mean of the pairs' kappas (Light, Psychological Bulletin 76, 1971, p. 367); None: no pair has one.
        windows: that at least two people decided.
        disputed: task ids of those about which no majority agrees; they train nothing.
    """

    pairs: tuple[Pair, ...]
    kappa: float | None
    windows: int
    disputed: tuple[str, ...]


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two people's answers to the same questions: (observed - chance) / (1 - chance).

    Cohen, A Coefficient of Agreement for Nominal Scales, Educational and Psychological Measurement 20, 1960. Chance is
    the agreement of two people who answer as often as these do, each without looking at the other.

    Returns:
        At most 1; 0: no more than by chance; None: there is no answer, or chance alone agrees always.
    """
    count = len(pairs)
    if not count:
        return None
    observed = sum(first == second for first, second in pairs)
    ours, theirs = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    # In whole numbers: where chance agrees always, the difference must be exactly 0.
    chance = sum(number * theirs[name] for name, number in ours.items())
    return None if chance == count * count else (observed * count - chance) / (count * count - chance)


def agreement(answers: Iterable[Answer]) -> Agreement:
    """Compare the answers of people to the same tasks; whoever was unsure did not decide.

    Args:
        answers: those that were not taken back, at most one per task and labeller.
    """
    by_task: dict[str, dict[str, str]] = {}
    for answer in answers:
        if answer.verdict != UNSURE:
            by_task.setdefault(answer.task, {})[answer.labeller] = _said(answer)
    shared = {task: said for task, said in by_task.items() if len(said) > 1}
    common: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for said in shared.values():
        for first, second in combinations(sorted(said), 2):
            common.setdefault((first, second), []).append((said[first], said[second]))
    pairs = tuple(
        Pair(*names, len(both), sum(one == other for one, other in both), kappa(both))
        for names, both in sorted(common.items())
    )
    known = [pair.kappa for pair in pairs if pair.kappa is not None]
    disputed = tuple(sorted(task for task, said in shared.items() if verdict_of(list(said.values())) is None))
    return Agreement(pairs, fmean(known) if known else None, len(shared), disputed)


def verdict_of(said: Sequence[str]) -> str | None:
    """What more than half of the people said; None: nobody said anything, or they are at odds."""
    counts = Counter(said).most_common(1)
    return counts[0][0] if counts and 2 * counts[0][1] > len(said) else None


def _said(answer: Answer) -> str:
    return answer.activity if answer.activity is not None else UNUSABLE
