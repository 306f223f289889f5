"""Population stability index: Σ (p − q) ln(p / q).

0 for equal distributions; by the usual rule of thumb 0.1 is a small change and 0.2 a large one. Shares below 0.001
count as 0.001, since an empty bin would make the index infinite.

    >>> import numpy as np
    >>> round(float(psi(np.array([0.6, 0.4]), np.array([0.5, 0.5]))), 4)
    0.0405

References:
    Siddiqi, N. (2006). Credit Risk Scorecards. Wiley.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift.scores._score import Score

_SMALLEST_SHARE = 1e-3


def psi(day: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The index over the last axis."""
    p, q = np.maximum(day, _SMALLEST_SHARE), np.maximum(reference, _SMALLEST_SHARE)
    index: NDArray[np.float64] = ((p - q) * np.log(p / q)).sum(-1)
    return index


SCORE = Score("psi", "PSI", "Population stability index; 0.2 is a large change by the usual rule.", psi)
