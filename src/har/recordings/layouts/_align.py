"""Interpolate one sensor's samples at the stamps of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def on_stamps_of(
    stamps_us: NDArray[np.int64], others_us: NDArray[np.int64], values: NDArray[np.float64], max_gap_s: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Interpolate the other sensor's values linearly at `stamps_us`.

    Args:
        stamps_us: int64 (n,), increasing.
        others_us: int64 (m,), the other sensor's stamps in any order; of equal stamps the first is used.
        values: float64 (m, 3), at `others_us`.
        max_gap_s: no interpolation between samples that are further apart.

    Returns:
        The values, float64 (n, 3), and where they are valid, bool (n,).
    """
    valid = np.zeros(len(stamps_us), np.bool_)
    interpolated = np.zeros((len(stamps_us), 3))
    if not len(others_us):
        return interpolated, valid
    others_us, first = np.unique(others_us, return_index=True)
    values = values[first]
    after = np.clip(np.searchsorted(others_us, stamps_us), 0, len(others_us) - 1)
    before = np.where(others_us[after] == stamps_us, after, np.maximum(after - 1, 0))
    inside = (others_us[before] <= stamps_us) & (stamps_us <= others_us[after])
    valid = inside & (others_us[after] - others_us[before] <= round(max_gap_s * 1e6))
    for axis in range(3):
        interpolated[:, axis] = np.interp(stamps_us, others_us, values[:, axis])
    return interpolated, valid
