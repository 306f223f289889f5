"""What is usual for a subject, from its last days; no table, no file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BASELINE_DAYS = 7
"""The features are of so many days in a row; a week has each weekday once."""

_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Day:
    """One day of a subject.

    Attributes:
        minutes: per activity, without the time that had no signal; "uncertain" where the model abstained.
        windows: with a signal.
        confidence_sum: of these windows.
        samples: measured.
        accel_mean: mean of the acceleration's magnitude, m/s².
        accel_m2: sum of the squared deviations from it.
    """

    minutes: Mapping[str, float] = field(default_factory=dict)
    windows: int = 0
    confidence_sum: float = 0.0
    samples: int = 0
    accel_mean: float = 0.0
    accel_m2: float = 0.0


def moments(acceleration: NDArray[np.float32]) -> tuple[int, float, float]:
    """Count, mean and sum of squared deviations of the magnitude of acceleration (n, 3)."""
    if not len(acceleration):
        return 0, 0.0, 0.0
    magnitude = np.sqrt((acceleration.astype(np.float64) ** 2).sum(axis=1))
    mean = float(magnitude.mean())
    return len(magnitude), mean, float(((magnitude - mean) ** 2).sum())


def baseline(days: Sequence[Day], activities: Sequence[str]) -> dict[str, float]:
    """The features of a subject's last days.

    Args:
        days: those with measurements, in any order.
        activities: all that minutes may be of; one that did not occur has the share 0.

    Returns:
        minutes_per_day; share.ACTIVITY of the measured time; confidence, its mean; of the acceleration's magnitude,
        accel.mean in m/s² and accel.log_var, the natural logarithm of the variance. What was not measured is left out.
    """
    found: dict[str, float] = {}
    total = math.fsum(minutes for day in days for minutes in day.minutes.values())
    if total > 0:
        found["minutes_per_day"] = total / len(days)
        names = dict.fromkeys([*activities, *(name for day in days for name in day.minutes)])
        for name in names:
            found[f"share.{name}"] = math.fsum(day.minutes.get(name, 0.0) for day in days) / total
    windows = sum(day.windows for day in days)
    if windows:
        found["confidence"] = math.fsum(day.confidence_sum for day in days) / windows
    samples = sum(day.samples for day in days)
    if samples:
        # Chan, Golub and LeVeque (1983): the moments of a union from those of its parts, without cancellation.
        mean = math.fsum(day.samples * day.accel_mean for day in days) / samples
        m2 = math.fsum(day.accel_m2 + day.samples * (day.accel_mean - mean) ** 2 for day in days)
        found["accel.mean"] = mean
        found["accel.log_var"] = math.log(max(m2 / samples, _LEAST_VARIANCE))
    return found
