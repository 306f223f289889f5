"""The bootstrap over subjects: how far a figure would move if other people had worn the sensors.

Resamples are drawn in blocks, whose number and seeds follow from the sizes alone, so that a block is the same wherever
it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.engine import Each, in_turn
from har.evaluation import _metrics as metrics

LEAST_SUBJECTS = 3
"""With fewer, resampling subjects says nothing about the next one."""
RESAMPLES = 2000
BLOCK = 2**22
"""Draws of a subject in one block, at most: 32 MB, a fifth of a second."""
WORTH_TRAVELLING = 16
"""Blocks of a part. So many or fewer are drawn here: they take less time than a process or a worker to start."""


@dataclass(frozen=True)
class Block:
    """Consecutive resamples with a seed of their own.

    Attributes:
        index: of the block, which gives it another seed; 0: the seed itself.
        resamples: R.
    """

    index: int
    resamples: int


def blocks_of(subjects: int, resamples: int) -> tuple[Block, ...]:
    """The blocks of a bootstrap; one holds 2,000 resamples of 2,000 subjects."""
    most = max(1, BLOCK // subjects)
    return tuple(Block(index, min(most, resamples - first)) for index, first in enumerate(range(0, resamples, most)))


def resample_subjects(subjects: int, block: Block, seed: int) -> NDArray[np.int64]:
    """How often each subject is drawn, (R, S): S draws with replacement, R times."""
    place = (block.index,) if block.index else ()
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))
    return random.multinomial(subjects, np.full(subjects, 1 / subjects), size=block.resamples)


def bootstrap_mean(
    values: NDArray[np.floating] | NDArray[np.bool_],
    subjects: NDArray[np.str_],
    percentiles: tuple[float, ...],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, ...] | None:
    """Percentiles of the mean over windows when whole subjects are resampled (cluster bootstrap).

    Args:
        values: (N,), one per window, such as whether it was answered correctly.
        subjects: str (N,), whose window it is.
        percentiles: 0 … 100, such as (5, 95).
        resamples: R.
        seed: of the draws.

    Returns:
        One figure per percentile; None with fewer than three subjects.
    """
    names, subject = np.unique(subjects, return_inverse=True)
    if len(names) < LEAST_SUBJECTS:
        return None
    sums, windows = np.bincount(subject, values), np.bincount(subject)
    drawn = (resample_subjects(len(names), block, seed) for block in blocks_of(len(names), resamples))
    means = np.concatenate([(weights @ sums) / (weights @ windows) for weights in drawn])
    return tuple(float(value) for value in np.percentile(means, percentiles))


@dataclass(frozen=True, eq=False)
class Replicates:
    """Some blocks of the bootstrap of accuracy and macro-F1.

    Attributes:
        runs: each run's tallies per subject, arrays (S, K).
        blocks: to draw.
        seed: of the bootstrap.
    """

    runs: tuple[metrics.Tally, ...]
    blocks: tuple[Block, ...]
    seed: int

    def __str__(self) -> str:
        return f"blocks {self.blocks[0].index} to {self.blocks[-1].index}, seed {self.seed}"


def bootstrap_figures(
    runs: Sequence[metrics.Tally], *, resamples: int, seed: int, each: Each = in_turn
) -> metrics.Floats:
    """Accuracy and macro-F1 of every resample, (2, R), each the mean over runs.

    Args:
        runs: each run's tallies per subject, arrays (S, K).
        resamples: R.
        seed: of the draws.
        each: how to draw many blocks; the figures are the same whichever it is.
    """
    blocks = blocks_of(len(runs[0].hits), resamples)
    parts = [
        Replicates(tuple(runs), blocks[first : first + WORTH_TRAVELLING], seed)
        for first in range(0, len(blocks), WORTH_TRAVELLING)
    ]
    return np.concatenate(list((each if len(parts) > 1 else in_turn)(replicate, parts)), axis=1)


def replicate(part: Replicates) -> metrics.Floats:
    """Accuracy and macro-F1 of a part's resamples, (2, R)."""
    return np.concatenate(list(_figures(part)), axis=1)


def _figures(part: Replicates) -> Iterator[metrics.Floats]:
    for block in part.blocks:
        weights = resample_subjects(len(part.runs[0].hits), block, part.seed)
        drawn = [metrics.reweigh(counts, weights) for counts in part.runs]
        yield np.stack(
            [np.mean([of(counts) for counts in drawn], axis=0) for of in (metrics.accuracy, metrics.macro_f1)]
        )
