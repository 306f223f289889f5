"""Gain and offset of an accelerometer from its own recording: at rest it measures 1 g, whichever way it lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.plausibility._epochs import Epochs

STILL_SD_G = 0.013
"""g; an axis whose standard deviation within ten seconds is below it does not move."""
SPHERE_G = 0.3
"""g; every axis must have been at rest above it and below its negative."""
GOOD_MG = 10.0
"""mg; a calibration that leaves more error than this is not used."""

_LARGEST_G = 2.0
_LEAST = 30
"""Epochs at rest: five minutes."""
_MOST = 20_000
"""Epochs that are used, spread over all."""
_ROUNDS = 1000
_SETTLED_G = 1e-9
_HEAVIEST = 100.0


@dataclass(frozen=True)
class Calibration:
    """What a recording says about its sensor's gain and offset: calibrated = gain · measured + offset.

    Attributes:
        error_mg: mean distance of |a| at rest from 1 g, as measured.
        after_mg: the same with gain and offset applied; None if there are none.
        gain: factor of each axis.
        offset_mg: of each axis.
        epochs: stretches of ten seconds at rest.
        reason: why there is no gain and offset, or why they are no use; "" if they can be used.
    """

    error_mg: float
    after_mg: float | None
    gain: tuple[float, float, float] | None
    offset_mg: tuple[float, float, float] | None
    epochs: int
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether gain and offset may be applied."""
        return not self.reason


def calibration(epochs: Epochs) -> Calibration | None:
    """Estimate gain and offset of each axis from the stretches at rest; nothing is applied. None: there are too few.

    Stretches of ten seconds in which every axis has a standard deviation below 13 mg are at rest. Their mean vectors
    lie on a sphere of 1 g if the sensor is calibrated. Each is compared with the closest point of that sphere; a
    weighted linear regression per axis brings them together, and the two steps are repeated until nothing changes
    (iterative closest point). Points count by the inverse of their distance. The estimate needs every axis above 0.3 g
    and below -0.3 g.

    Source: van Hees et al. 2014, Autocalibration of accelerometer data for free-living physical activity assessment
    using local gravity and temperature, J. Appl. Physiol. 117(7):738-744. Temperature is not used: few files have it.

    Args:
        epochs: statistics in g, of one sensor.
    """
    still = (epochs.sd < STILL_SD_G).all(axis=1) & (np.abs(epochs.mean) < _LARGEST_G).all(axis=1) & ~epochs.repeats
    points = epochs.mean[still]
    count = len(points)
    if count < _LEAST:
        return None
    points = points[:: max(1, -(-count // _MOST))]
    before = _error_mg(points)
    low, high = points.min(axis=0), points.max(axis=0)
    if not ((low < -SPHERE_G) & (high > SPHERE_G)).all():
        narrow = ", ".join(
            name for name, ok in zip("xyz", (low < -SPHERE_G) & (high > SPHERE_G), strict=True) if not ok
        )
        return Calibration(before, None, None, None, count, f"too few positions at rest: {narrow} within ±{SPHERE_G} g")
    gain, offset = _fit(points)
    after = _error_mg(points * gain + offset)
    reason = ""
    if after >= before:
        reason = "the error does not become smaller"
    elif after > GOOD_MG:
        reason = f"an error above {GOOD_MG:g} mg is left"
    return Calibration(before, after, _three(gain), _three(1000 * offset), count, reason)


def _fit(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain (3,) and offset (3,), g, that bring the points (m, 3) to the unit sphere."""
    gain, offset = np.ones(3), np.zeros(3)
    weights = np.ones(len(points))
    last = np.inf
    for _ in range(_ROUNDS):
        current = points * gain + offset
        closest = current / np.maximum(np.linalg.norm(current, axis=1), 1e-9)[:, None]
        total = weights.sum()
        mean, target = weights @ current / total, weights @ closest / total
        spread = current - mean
        factor = weights @ (spread * (closest - target)) / np.maximum(weights @ np.square(spread), 1e-12)
        gain, offset = gain * factor, offset * factor + target - mean * factor
        distance = np.linalg.norm(points * gain + offset - closest, axis=1)
        error = float(weights @ distance / total)
        if abs(last - error) < _SETTLED_G:
            break
        last = error
        weights = np.minimum(1 / np.maximum(distance, 1e-9), _HEAVIEST)
    return gain, offset


def _error_mg(points: NDArray[np.float64]) -> float:
    return 1000 * float(np.abs(np.linalg.norm(points, axis=1) - 1).mean())


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    one, two, three = values.tolist()
    return one, two, three
