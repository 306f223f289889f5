"""Windows in, features of fixed formulas out: tsfresh's minimal set, and this project's own descriptors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from har.training import Signal, alone
from har.training._descriptors import Descriptors
from har.windows import WindowSet

MINIMAL = (
    "sum_values", "median", "mean", "length", "standard_deviation",
    "variance", "root_mean_square", "maximum", "absolute_maximum", "minimum",
)  # fmt: skip
"""What `MinimalFCParameters` of tsfresh 0.21 computes per channel (Christ et al. 2018)."""
_BATCH = 512


def minimal_features(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`MINIMAL` of every channel, float32 (N, 10 · C), from windows (N, T, C): the first of all channels first."""
    values = windows.astype(np.float64)
    mean, square = values.mean(axis=1), (values * values).mean(axis=1)
    variance = values.var(axis=1)
    parts = (
        values.sum(axis=1),
        np.median(values, axis=1),
        mean,
        np.full_like(mean, values.shape[1]),
        np.sqrt(variance),
        variance,
        np.sqrt(square),
        values.max(axis=1),
        np.abs(values).max(axis=1),
        values.min(axis=1),
    )
    return np.concatenate(parts, axis=1).astype(np.float32)


def minimal_of(windows: WindowSet) -> NDArray[np.float32]:
    """`minimal_features` of a set of windows."""
    return np.concatenate([minimal_features(batch) for batch in windows.batches(_BATCH)])


def descriptors_of(windows: WindowSet, signal: Signal) -> NDArray[np.float32]:
    """The descriptors that the project's networks read, float32 (N, F)."""
    describe = Descriptors(signal)
    with alone(), torch.inference_mode():
        return np.concatenate([describe(torch.from_numpy(batch)).numpy() for batch in windows.batches(_BATCH)])
