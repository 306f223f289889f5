"""The fallback rule: classify windows by the magnitude of each sensor, without a model file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import ModelError, NotEnoughDataError, WindowError

_SMALLEST_SD = 1e-3
"""Lower limit of the standard deviation, in SI units, so that the logarithm is finite; sensor noise is far above."""

_BLOCK = 1024
"""Windows per step, which bounds the memory of the double-precision copy."""

_SPREAD_FLOOR = 0.05
"""Least spread of a class, as a share of the spread over all windows, for classes that were only seen at rest."""


@dataclass(frozen=True, eq=False)
class MagnitudeRule:
    """A Gaussian naive Bayes classifier over two numbers per sensor; safe to share between threads.

    A sensor is a run of channels that share one unit. Its vector magnitude sqrt(x² + y² + z²) does not depend on how
    the device is mounted; the numbers are the mean of the magnitude over the window and the natural logarithm of its
    standard deviation: they show posture and load, and how vigorous a movement is. The rule distinguishes rest from
    movement and slow from fast, and little more. It answers if all networks fail.

    Attributes:
        units: SI unit per channel.
        activities: class names, in the order of the probabilities.
        prior: share of the training windows per class, float64 (K,); 0 for a class without windows.
        mean: of the numbers per class, float64 (K, 2·S) for S sensors: mean and log-SD of each sensor in turn.
        spread: their standard deviation per class, float64 (K, 2·S), above 0.
    """

    units: tuple[str, ...]
    activities: tuple[str, ...]
    prior: NDArray[np.float64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        windows: NDArray[np.float32],
        labels: NDArray[np.integer],
        *,
        units: tuple[str, ...],
        activities: tuple[str, ...],
    ) -> MagnitudeRule:
        """Learn the numbers' distribution per class.

        Args:
            windows: float32 (N, T, C), SI units.
            labels: int (N,), index into `activities`; windows with -1 (no label) are ignored.
            units: SI unit per channel, C of them.
            activities: class names.

        Raises:
            WindowError: the shapes differ, a label is not in `activities`, or a value is not finite.
            NotEnoughDataError: there is no labelled window.
        """
        labels = np.asarray(labels)
        if labels.shape != windows.shape[:1] or (
            len(labels) and not -1 <= labels.min() <= labels.max() < len(activities)
        ):
            raise WindowError(
                where="labels",
                expected=f"shape ({len(windows)},) of indices from -1 to {len(activities) - 1}",
                got=f"shape {labels.shape}" + (f" from {labels.min()} to {labels.max()}" if labels.size else ""),
                remedy="Pass the index of each window's activity, or -1.",
            )
        numbers, labels = _numbers(windows[labels >= 0], units), labels[labels >= 0]
        if not len(labels):
            raise NotEnoughDataError(
                where="the fallback rule",
                expected="labelled windows",
                got="none",
                remedy="Ingest recordings with an activity.",
            )
        counts = np.bincount(labels, minlength=len(activities)).astype(np.float64)
        divisor = np.maximum(counts, 1)[:, None]
        members = np.zeros((len(activities), len(labels)))
        members[labels, np.arange(len(labels))] = 1
        mean = members @ numbers / divisor
        spread = np.sqrt(members @ (numbers - mean[labels]) ** 2 / divisor)
        floor = np.maximum(_SPREAD_FLOOR * numbers.std(axis=0), _SMALLEST_SD)
        return cls(tuple(units), tuple(activities), counts / counts.sum(), mean, np.maximum(spread, floor))

    def predict(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 (N, K) of windows float32 (N, T, C) in SI units, any T above 0.

        Raises:
            WindowError: the number of channels is wrong, there are no samples, or a value is not finite.
        """
        distance = (_numbers(window, self.units)[:, None, :] - self.mean) / self.spread
        seen = self.prior > 0
        constant = np.log(np.where(seen, self.prior, 1)) - np.log(self.spread).sum(axis=1)
        joint = np.where(seen, constant - 0.5 * (distance**2).sum(axis=2), -np.inf)
        likelihood = np.exp(joint - joint.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = likelihood / likelihood.sum(axis=1, keepdims=True)
        return probabilities.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """The rule as JSON values; `from_json` reads them back exactly."""
        return {
            "units": list(self.units),
            "activities": list(self.activities),
            "prior": self.prior.tolist(),
            "mean": self.mean.tolist(),
            "spread": self.spread.tolist(),
        }

    @classmethod
    def from_json(cls, values: object, *, where: str = "the fallback rule") -> MagnitudeRule:
        """Read what `to_json` made.

        Raises:
            ModelError: something is missing, of another shape or not a finite number.
        """
        try:
            if not isinstance(values, Mapping):
                raise TypeError(f"{type(values).__name__} instead of an object")
            units, activities = _names(values, "units"), _names(values, "activities")
            rows, columns = len(activities), 2 * len(_sensors(units))
            return cls(
                units,
                activities,
                _table(values, "prior", (rows,), least=0),
                _table(values, "mean", (rows, columns), least=-math.inf),
                _table(values, "spread", (rows, columns), least=math.ulp(0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                where=where,
                expected="units, activities, prior, mean and spread as this project writes them",
                got=f"no {error}" if isinstance(error, KeyError) else str(error),
                remedy="Package the champion again: har package.",
            ) from error


def _sensors(units: tuple[str, ...]) -> list[slice]:
    """Runs of channels that share one unit."""
    ends = np.cumsum([len(list(run)) for _, run in groupby(units)])
    return [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]


def _numbers(window: NDArray[np.float32], units: tuple[str, ...]) -> NDArray[np.float64]:
    """Mean and log-SD of each sensor's magnitude, float64 (N, 2·S)."""
    if window.ndim != 3 or window.shape[2] != len(units) or not window.shape[1]:
        raise WindowError(
            where="window",
            expected=f"shape (N, T, {len(units)}) with one sample at least",
            got=f"shape {window.shape}",
            remedy="Use the channels that the rule was fitted to.",
        )
    sensors = _sensors(units)
    result = np.empty((len(window), 2 * len(sensors)))
    for first in range(0, len(window), _BLOCK):
        # Squares of the largest float32 values do not fit into float32.
        square = np.square(window[first : first + _BLOCK], dtype=np.float64)
        for number, sensor in enumerate(sensors):
            magnitude = np.sqrt(square[:, :, sensor].sum(axis=2))
            result[first : first + _BLOCK, 2 * number] = magnitude.mean(axis=1)
            with np.errstate(invalid="ignore"):  # infinite samples are refused below
                result[first : first + _BLOCK, 2 * number + 1] = magnitude.std(axis=1)
    if not np.isfinite(result).all():
        raise WindowError(
            where="window",
            expected="finite values",
            got="NaN or infinity",
            remedy="Drop or repair the sample before cutting windows.",
        )
    result[:, 1::2] = np.log(np.maximum(result[:, 1::2], _SMALLEST_SD))
    return result


def _names(values: Mapping[Any, Any], key: str) -> tuple[str, ...]:
    names = values[key]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{names!r} as {key}")
    return tuple(names)


def _table(values: Mapping[Any, Any], key: str, shape: tuple[int, ...], *, least: float) -> NDArray[np.float64]:
    table = np.array(values[key], np.float64)
    if table.shape != shape or not np.isfinite(table).all() or (table < least).any():
        raise ValueError(f"{key} of shape {table.shape} or with invalid values")
    if key == "prior" and not table.any():
        raise ValueError("a prior of 0 for every activity")
    return table
