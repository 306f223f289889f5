"""Temperature scaling: one number that calibrates the confidence (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST = 30
"""With fewer validation windows than this, the temperature stays 1."""
RANGE = (0.2, 5.0)
"""Lowest and highest temperature."""


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """The temperature with the lowest negative log-likelihood, by golden-section search over its logarithm.

    Args:
        logits: (N, K).
        labels: (N,), the true classes.
    """
    if len(labels) < FEWEST:
        return 1.0
    low, high = np.log(RANGE[0]), np.log(RANGE[1])
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(logits / np.exp(left), labels) < log_loss(logits / np.exp(right), labels):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def log_loss(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """Mean negative log-likelihood of the true classes."""
    shifted = logits - logits.max(1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]).mean())
