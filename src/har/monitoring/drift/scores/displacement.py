"""Displacement in standard deviations, −3.6 … 3.6: √2 Φ⁻¹(P), where a day's value is the larger one with probability P.

P = P(day > reference) + ½ P(day = reference) is the effect size of the rank test of Mann and Whitney, here over bins.
Two normal distributions of equal width that lie d standard deviations apart have P = Φ(d / √2), so this is their d, and
of others what the ranks say. P is kept between 0.005 and 0.995.

It has a sign, so that over activities and subjects what has nothing in common averages out and a shift that they share
stays: days alarm by it against a subject's own history.
Between strangers, who differ in everything, Hellinger's and Kolmogorov's distance see more.

    >>> import numpy as np
    >>> round(float(displacement(np.array([0.24, 0.76]), np.array([0.76, 0.24]))), 2)
    1.0
    >>> float(displacement(np.array([0.5, 0.5]), np.array([0.5, 0.5])))
    0.0

References:
    Mann, H. B. and Whitney, D. R. (1947). On a test of whether one of two random variables is stochastically larger
    than the other. Annals of Mathematical Statistics 18.
    McGraw, K. O. and Wong, S. P. (1992). A common language effect size statistic. Psychological Bulletin 111.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift.scores._score import Score

_RAREST = 0.005


def displacement(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The displacement over the last axis."""
    from scipy.special import ndtri  # takes 0.15 s, so it is imported where it is used

    below = np.cumsum(reference, axis=-1) - reference / 2
    larger = np.clip((day * below).sum(-1), _RAREST, 1.0 - _RAREST)
    found: NDArray[np.float64] = math.sqrt(2.0) * ndtri(larger)
    return found


SCORE = Score(
    "displacement",
    "Displacement",
    "By how many standard deviations the day's values lie higher or lower, by their ranks, -3.6 to 3.6.",
    displacement,
    own=True,
    order=1.0,
    # A shift by a fifth of a standard deviation: nobody would act on less, however alike a subject's days are.
    least_level=0.2,
)
