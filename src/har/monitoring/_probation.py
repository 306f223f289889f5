"""A promoted model beside the one before it, on the days since: does it keep what its promotion promised?"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class ProbationVerdict:
    """How a promoted model does beside its predecessor, on the same windows.

    Attributes:
        version: the promoted one.
        former: the one before it.
        since: newest day of the lake when it was promoted; the days after it count.
        days: judged days so far.
        windows: that both answered.
        labelled: those of them that have a label.
        rollback: it fell under its predecessor.
        reasons: in sentences, with figures.
        accuracy: of the promoted model and of its predecessor; None without enough labels.
        confidence: mean of either.
        score: mean drift score of either against its own reference; None where a day could not be judged.
    """

    version: int
    former: int
    since: dt.date
    days: int
    windows: int
    labelled: int
    rollback: bool
    reasons: tuple[str, ...]
    accuracy: tuple[float, float] | None
    confidence: tuple[float, float]
    score: tuple[float, float] | None
