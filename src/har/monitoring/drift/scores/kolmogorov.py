"""Kolmogorov distance, 0 … 1: the largest difference of the two distribution functions at the bins' edges.

    >>> import numpy as np
    >>> float(kolmogorov(np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])))
    0.5

References:
    Kolmogorov, A. (1933). Sulla determinazione empirica di una legge di distribuzione. Giornale dell'Istituto Italiano
    degli Attuari 4.
    Smirnov, N. (1939). On the estimation of the discrepancy between empirical curves of distribution for two
    independent samples. Bulletin of Moscow University 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift.scores._score import Score


def kolmogorov(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance over the last axis."""
    largest: NDArray[np.float64] = np.abs(np.cumsum(day - reference, axis=-1)).max(-1)
    return np.minimum(largest, 1.0)


SCORE = Score(
    "kolmogorov", "Kolmogorov", "Largest difference of the distribution functions, 0 to 1.", kolmogorov, order=1.0
)
