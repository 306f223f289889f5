"""What a drift score is: two distributions over the same bins to one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Formula = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From the day's and the reference's shares, float64 (…, B) and summing to 1 over the last axis, the score (…)."""


@dataclass(frozen=True)
class Score:
    """A drift score.

    Attributes:
        name: its file's name; what reports call it.
        title: the heading of its column on a day's page.
        meaning: one sentence for readers of the page.
        formula: from the shares of the same bins, `(day, reference) -> score`.
        direction: of two distributions that lie further apart the score is "higher" or "lower".
        alarms: whether a day may alarm by it. The level is then learned from the reference subjects; such a score is 0
            for equal distributions and "higher" for others.
        own: whether a subject's day may alarm by it against the subject's own history. It is computed per activity and
            averaged, and by its size judged after that: it may have a sign, and is 0 for equal distributions.
        order: how such a score grows with a small shift: 2 like its square, 1 in proportion. The mean of several
            subjects lies nearer to the reference than one subject does, and its level is lowered accordingly.
        least_level: such a score's level is never lower than this, however alike the reference subjects are. It is
            above 0.
    """

    name: str
    title: str
    meaning: str
    formula: Formula
    direction: Literal["higher", "lower"] = "higher"
    alarms: bool = False
    own: bool = False
    order: float = 2.0
    least_level: float = 0.0
