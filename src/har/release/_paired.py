"""Windows that both versions of a release answered, by subject and in blocks: what quality is judged by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BLOCK = 16
"""Windows of a subject in a row that are one observation: half a minute at the default settings."""
LABELLED_BLOCK = 8
"""The same of labelled windows, which are fewer."""
LABELLED_ROUNDS = (16, 128)
"""A subject is one observation of a round: its first so many labelled windows."""

Floats = NDArray[np.float64]

SUMS = ("windows", "differ", "expected", "labelled", "better", "worse")
"""What is added up over the windows of a block, or of a subject's round:

* windows: that both versions answered;
* differ: with two different answers;
* expected: of those, the sum of the new version's confidence minus the former one's;
* labelled: of which the true activity is known, from sources that count;
* better, worse: of those, where only the new version was right, and where only the former one was.
"""


def _no_sums() -> Floats:
    return np.empty((0, len(SUMS)))


def _no_classes() -> Floats:
    return np.empty((0, 0))


@dataclass(frozen=True)
class Paired:
    """Evidence since a release began, of S subjects and K activities.

    Attributes:
        requests: answered by both versions.
        windows: of these requests, those with a signal.
        subjects: S names.
        seen: subjects whom the new version answered since the step began.
        blocks: (B, 6), the `SUMS` of each full block, in the order in which they were filled.
        labelled_blocks: (L, 6), the same of blocks of `LABELLED_BLOCK` labelled windows.
        rounds: per round of `LABELLED_ROUNDS` the `SUMS` (n, 6) of the subjects that filled it, in the order in which
            they did.
        agreeing: windows with the same answer.
        sure, former_sure: the versions' mean confidence on those.
        activities: K names.
        mix, former_mix: (S, K), windows by each version's answer.
        kept: (S, K), windows of the former version's answer on which the new one agreed.
        lost_sure: (S, K), the former version's confidence, summed over the windows of its answer that were not kept.
        kept_sure: (S, K), the same of those that were.
    """

    requests: int = 0
    windows: int = 0
    subjects: tuple[str, ...] = ()
    seen: int = 0
    blocks: Floats = field(default_factory=_no_sums)
    labelled_blocks: Floats = field(default_factory=_no_sums)
    rounds: tuple[Floats, ...] = ()
    agreeing: int = 0
    sure: float = 0.0
    former_sure: float = 0.0
    activities: tuple[str, ...] = ()
    mix: Floats = field(default_factory=_no_classes)
    former_mix: Floats = field(default_factory=_no_classes)
    kept: Floats = field(default_factory=_no_classes)
    lost_sure: Floats = field(default_factory=_no_classes)
    kept_sure: Floats = field(default_factory=_no_classes)
