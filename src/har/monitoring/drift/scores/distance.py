"""The distance by which days alarm: −½ ln((1 − H² + ε)(1 − D² + ε)), at least 0.

H is the Hellinger distance, D the Kolmogorov distance. H responds when a distribution leaves its range, D when it moves
within it. Each term grows like a square while the distributions overlap, and keeps growing while the overlap vanishes,
where H and D themselves hardly change: −ln(1 − H²) is twice the distance of Bhattacharyya. ε = 0.005 limits the
distance to 5.3.

    >>> import numpy as np
    >>> float(distance(np.array([0.5, 0.5]), np.array([0.5, 0.5])))
    0.0
    >>> round(float(distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]))), 1)
    5.3

References:
    Bhattacharyya, A. (1943). On a measure of divergence between two statistical populations defined by their
    probability distributions. Bulletin of the Calcutta Mathematical Society 35.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift.scores._score import Score
from har.monitoring.drift.scores.hellinger import hellinger
from har.monitoring.drift.scores.kolmogorov import kolmogorov

_SMOOTHING = 0.005


def distance(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance over the last axis."""
    overlap = (1.0 - hellinger(day, reference) ** 2 + _SMOOTHING) * (1.0 - kolmogorov(day, reference) ** 2 + _SMOOTHING)
    found: NDArray[np.float64] = np.maximum(0.0, -0.5 * np.log(overlap))
    return found


SCORE = Score(
    "distance",
    "Distance",
    "What days alarm by: Hellinger and Kolmogorov distance together, 0 to 5.3.",
    distance,
    alarms=True,
    # A Hellinger distance of about 0.15: nobody would act on less, however alike the reference subjects are.
    least_level=0.02,
)
