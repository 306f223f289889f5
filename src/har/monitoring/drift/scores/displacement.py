"""Displacement, −½ … ½: the probability that a value of the day is larger than one of the reference, less ½.

Equal values count half. It is the effect size of the rank test of Mann and Whitney, P(day > reference) +
½ P(day = reference) − ½, here over bins. It has a sign, so that over activities and subjects what has nothing in common
averages out and a shift that they share stays: days alarm by it against a subject's own history. Between strangers, who
differ in everything, Hellinger's and Kolmogorov's distance see more.

    >>> import numpy as np
    >>> float(displacement(np.array([0.0, 1.0]), np.array([1.0, 0.0])))
    0.5
    >>> float(displacement(np.array([0.5, 0.5]), np.array([0.5, 0.5])))
    0.0

References:
    Mann, H. B. and Whitney, D. R. (1947). On a test of whether one of two random variables is stochastically larger
    than the other. Annals of Mathematical Statistics 18.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift.scores._score import Score


def displacement(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The displacement over the last axis."""
    below = np.cumsum(reference, axis=-1) - reference / 2
    larger: NDArray[np.float64] = (day * below).sum(-1) - 0.5
    return larger


SCORE = Score(
    "displacement",
    "Displacement",
    "Half the difference between how often the day's value is the larger and the smaller one, -0.5 to 0.5.",
    displacement,
    own=True,
    order=1.0,
    # A shift by a fifth of a standard deviation: nobody would act on less, however alike a subject's days are.
    least_level=0.05,
)
