"""Hellinger distance, 0 … 1: √(1 − Σ √(p q)).

0 for equal distributions, 1 where they share no bin. Near 0 it grows in proportion to a shift.

    >>> import numpy as np
    >>> float(hellinger(np.array([0.5, 0.5]), np.array([0.5, 0.5])))
    0.0
    >>> float(hellinger(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    1.0

References:
    Hellinger, E. (1909). Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen. Journal
    für die reine und angewandte Mathematik 136.
    Le Cam, L. (1986). Asymptotic Methods in Statistical Decision Theory. Springer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift.scores._score import Score


def hellinger(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance over the last axis."""
    affinity = np.sqrt(day * reference).sum(-1)
    distance: NDArray[np.float64] = np.sqrt(np.clip(1.0 - affinity, 0.0, 1.0))
    return distance


SCORE = Score("hellinger", "Hellinger", "Distance of the two distributions, 0 to 1.", hellinger, order=1.0)
