"""What two seconds of a sensor look like along its axes, and how near that is to what the reference's devices show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.devices._axes import ways
from har.plausibility import GRAVITY

WINDOW_S = 2.0
_NEAREST = 5
_SOFT = 0.5
_LEAST = {True: (0.2, 0.3), False: (0.05, 0.1)}
"""Below these m/s², and rad/s, a movement along an axis, and of a sensor, is noise."""


def windows(values: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """Windows of two seconds, float64 (N, T, C), of one gap-free piece (n, C)."""
    size = max(4, round(WINDOW_S * rate_hz))
    count = len(values) // size
    return values[: count * size].reshape(count, size, values.shape[1])


@dataclass(frozen=True, eq=False)
class Shape:
    """Moments of N windows of one sensor, from which the description along other axes follows without the samples.

    Attributes:
        means: float64 (N, 3), g for an accelerometer, else rad/s.
        covariances: float64 (N, 3, 3).
        skews: float64 (N, 3), cube roots of the third moments.
        is_accelerometer: decides what is noise.
    """

    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    skews: NDArray[np.float64]
    is_accelerometer: bool

    @classmethod
    def of(cls, found: NDArray[np.float64], *, is_accelerometer: bool) -> Shape:
        """Of windows of one sensor, float64 (N, T, 3)."""
        means = found.mean(axis=1)
        rest = found - means[:, None]
        covariances = rest.transpose(0, 2, 1) @ rest / found.shape[1]
        scale = 3 / GRAVITY if is_accelerometer else 1.0
        return cls(means * scale, covariances, np.cbrt((rest * rest * rest).mean(axis=1)), is_accelerometer)

    def described(self, way: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean, spread, correlation and skew along the axes, float64 (…, N, 12), had the sensor been `way @`.

        Args:
            way: float64 (3, 3), or several (W, 3, 3).
        """
        axis, whole = _LEAST[self.is_accelerometer]
        each = way[..., None, :, :]
        turned = each @ self.covariances @ each.swapaxes(-1, -2)
        spread = np.sqrt(np.maximum(turned[..., (0, 1, 2), (0, 1, 2)], 0))
        off = turned[..., (0, 0, 1), (1, 2, 2)]
        # The trace is the same along all axes.
        size = np.sqrt(np.maximum(np.trace(self.covariances, axis1=1, axis2=2), 0))[:, None] + whole
        back = way.swapaxes(-1, -2)
        parts = [self.means @ back, np.log(spread + axis), np.sign(off) * np.sqrt(np.abs(off)) / size]
        return np.concatenate([*parts, self.skews @ back / size], axis=-1)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Descriptions of the reference's windows.

    Attributes:
        described: float64 (M, 12).
        scales: float64 (12,), the same for the three axes of a kind, so that no way is preferred.
    """

    described: NDArray[np.float64]
    scales: NDArray[np.float64]

    @classmethod
    def of(cls, described: NDArray[np.float64]) -> Neighbours:
        """Of descriptions, in their own scale."""
        squares = described.var(axis=0).reshape(-1, 3).mean(axis=1)
        return cls(described, np.repeat(np.sqrt(np.maximum(squares, 1e-6)), 3))

    def nearness(self, shape: Shape) -> NDArray[np.float64]:
        """How near windows are if each of the 48 ways is undone, float64 (N, 48)."""
        own = (self.described / self.scales).astype(np.float32)
        squares = np.square(own).sum(axis=1)
        nearest = min(_NEAREST, len(own))
        back = ways().swapaxes(-1, -2)
        query = (shape.described(back) / self.scales).astype(np.float32).reshape(-1, own.shape[1])
        apart = np.square(query).sum(axis=1)[:, None] + squares - 2 * query @ own.T
        near = np.partition(apart, nearest - 1, axis=1)[:, :nearest].mean(axis=1).reshape(len(back), -1)
        found: NDArray[np.float64] = -np.log(np.maximum(near.T.astype(np.float64), 0) + _SOFT)
        return found
