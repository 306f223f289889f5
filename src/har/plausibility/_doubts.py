"""Whether windows can be what their units say: gravity in the acceleration, turns that the acceleration confirms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.plausibility._constants import (
    GRAVITY,
    MOVING,
    QUIET_SECONDS,
    QUIET_SPREAD,
    RESTING,
    TO_SI,
)

CODES = ("accelerometer_unit", "gravity", "gyroscope_unit", "gyroscope_off")
"""Every code that a `Doubt` can have."""

_AXES = 3
_STEP_S = 0.1
_LEAST_TURN = 0.25
"""m/s² in a tenth of a second, mean: with smaller predicted changes, noise decides the comparison."""
_TURN_RATIO = 5.0
"""Turns that predict this many times the measured change are in a wrong unit: on the built-in sample the ratio is 0.1
to 3.1 in rad/s, and 6.6 or more if the same turns are given in deg/s."""
_SHAKEN = 5.0
"""m/s²; a device whose acceleration varies by more than this within a window also turns."""
_ONE_WAY = 0.1 * GRAVITY
"""m/s²; with gravity, a window's mean vector of the acceleration is longer than this: 2.8 at least on the sample."""
_LIKELY = {unit: (0.5 * GRAVITY / TO_SI[unit], 2.5 * GRAVITY / TO_SI[unit]) for unit in ("g", "mg")}
"""What |a| reads in other units, in movement up to vigorous exercise."""


@dataclass(frozen=True)
class Doubt:
    """Values that are possible, but not plausible in the unit that they should have.

    Attributes:
        code: one of `CODES`.
        where: the sensor.
        expected: what plausible values are.
        got: what the values are.
        remedy: what to change.
    """

    code: str
    where: str
    expected: str
    got: str
    remedy: str

    @property
    def text(self) -> str:
        """All of it in one sentence or two."""
        return f"{self.where}: expected {self.expected}, got {self.got}. {self.remedy}"


class Doubts:
    """Judges the windows of one device together; safe to share between threads.

    The acceleration is judged as at import: with three seconds at rest or more by their |a|, which must be gravity
    within `RESTING`; else by the median of |a|, which must lie within `MOVING`; and its mean vector must not vanish.
    The gyroscope is judged by what its turns would do to the acceleration: a device that turns by ω carries gravity
    along, which changes the measured vector a by ω × a per second. Turns that predict far more change than there is are
    in a wrong unit.

    Args:
        units: SI unit per channel. A sensor is judged if its three axes, and no more, follow one another.
        rate_hz: samples per second.
        length: samples per window, T.
    """

    def __init__(self, *, units: Sequence[str], rate_hz: float, length: int) -> None:
        self._accelerometer = _three_axes(units, "m/s^2")
        self._gyroscope = _three_axes(units, "rad/s") if self._accelerometer is not None else None
        self._rate_hz = rate_hz
        self._second = min(length, max(1, round(rate_hz)))
        step = min(length, max(1, round(_STEP_S * rate_hz)))
        self._step_s = step / rate_hz
        self._step, self._steps = step, length // step

    def of(self, windows: NDArray[np.float32]) -> tuple[Doubt, ...]:
        """What is not plausible; empty: nothing, or there is no sensor to judge.

        Args:
            windows: float32 (N, T, C), finite, within full scale, of one device, with a signal.
        """
        if self._accelerometer is None or not windows.size:
            return ()
        count, _, channels = windows.shape
        steps = windows[:, : self._steps * self._step].reshape(count, self._steps, self._step, channels)
        # A sum by einsum takes half the time of `mean`.
        means: NDArray[np.float32] = np.einsum("nstc->nsc", steps) / np.float32(self._step)
        found = [self._gravity(windows[:, :, self._accelerometer], means[:, :, self._accelerometer])]
        if self._gyroscope is not None:
            found.append(self._turns(windows, means, self._accelerometer, self._gyroscope))
        return tuple(doubt for doubt in found if doubt is not None)

    def _gravity(self, acceleration: NDArray[np.float32], means: NDArray[np.float32]) -> Doubt | None:
        mean_square = float(np.einsum("ntc,ntc->", acceleration, acceleration)) / (acceleration.size / _AXES)
        middle = means.sum(axis=1)
        one_way = math.sqrt(float(np.einsum("nc,nc->", middle, middle)) / len(means)) / means.shape[1]
        if one_way >= _ONE_WAY and RESTING[0] ** 2 <= mean_square <= RESTING[1] ** 2:
            return None
        magnitude = np.sqrt(np.einsum("ntc,ntc->nt", acceleration, acceleration, dtype=np.float64))
        value, low, high, how = float(np.median(magnitude)), *MOVING, "median"
        resting = self._resting(magnitude)
        if resting is not None:
            value, low, high, how = resting, *RESTING, "at rest"
        if one_way >= _ONE_WAY and low <= value <= high:
            return None
        expected = f"|a| of {low:.3g} to {high:.3g} m/s^2 ({how}), gravity included"
        likely = next((unit for unit, (least, most) in _LIKELY.items() if least <= value <= most), None)
        steady = one_way >= _ONE_WAY / GRAVITY * value
        if value <= high and not (likely and steady):
            got = f"{value:.3g}" if value < low else f"{value:.3g}, with a mean vector of {one_way:.2g}"
            remedy = "Gravity seems to be removed: send the total acceleration, in m/s^2."
            return Doubt("gravity", "accelerometer", expected, got, remedy)
        remedy = "Send m/s^2."
        if likely:
            remedy = f"The values look like {likely}: send m/s^2, which is {TO_SI[likely]:.5g} times as much."
        return Doubt("accelerometer_unit", "accelerometer", expected, f"{value:.3g}", remedy)

    def _resting(self, magnitude: NDArray[np.float64]) -> float | None:
        """|a| over the seconds at rest; None: there are too few."""
        second = self._second
        seconds = magnitude[:, : magnitude.shape[1] // second * second].reshape(-1, second)
        means = seconds.mean(axis=1)
        quiet = seconds.std(axis=1) < QUIET_SPREAD * means
        if quiet.sum() * second < QUIET_SECONDS * self._rate_hz:
            return None
        return float(np.median(means[quiet]))

    def _turns(
        self, windows: NDArray[np.float32], means: NDArray[np.float32], accelerometer: slice, gyroscope: slice
    ) -> Doubt | None:
        if means.shape[1] < 2:
            return None
        squares = np.einsum("nsc,nsc->c", means, means).tolist()
        turned, held = sum(squares[gyroscope]), sum(squares[accelerometer])
        if not turned:
            return self._switched_off(windows[:, :, accelerometer], windows[:, :, gyroscope])
        # The largest change that these turns could predict; it spares most windows the rest.
        most = math.sqrt(turned * held) / (len(means) * means.shape[1]) * self._step_s
        if most < _LEAST_TURN:
            return None
        rate, vector = means[:, :, gyroscope], means[:, :, accelerometer]
        change = vector[:, 1:] - vector[:, :-1]
        measured = float(np.sqrt(_dot(change, change)).mean())
        if most < _TURN_RATIO * measured:
            return None
        # Of both ends of a step the mean, and its vector product's length: |a × b|² = |a|² |b|² - (a · b)².
        half = np.float32(0.5)
        turns, vectors = half * (rate[:, 1:] + rate[:, :-1]), half * (vector[:, 1:] + vector[:, :-1])
        square = _dot(turns, turns) * _dot(vectors, vectors) - np.square(_dot(turns, vectors))
        predicted = float(np.sqrt(np.maximum(square, 0)).mean()) * self._step_s
        if predicted < max(_LEAST_TURN, _TURN_RATIO * measured):
            return None
        return Doubt(
            "gyroscope_unit",
            "gyroscope",
            "turns that the acceleration confirms, in rad/s",
            f"turns that would change it by {predicted:.3g} m/s^2 in {1000 * self._step_s:.0f} ms, where it changes "
            f"by {measured:.3g}",
            "The values look like deg/s: send rad/s, which is pi / 180 times as much.",
        )

    def _switched_off(self, acceleration: NDArray[np.float32], rate: NDArray[np.float32]) -> Doubt | None:
        varies = (acceleration.max(axis=1) - acceleration.min(axis=1)).max()
        if rate.any() or varies <= _SHAKEN:
            return None
        return Doubt(
            "gyroscope_off",
            "gyroscope",
            "an angular rate, for the device moves",
            "zero throughout",
            "Switch the gyroscope on, or send what it measured.",
        )


def _three_axes(units: Sequence[str], unit: str) -> slice | None:
    places = [place for place, one in enumerate(units) if one == unit]
    if len(places) != _AXES or places[-1] - places[0] != _AXES - 1:
        return None
    return slice(places[0], places[-1] + 1)


def _dot(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scalar product along the last axis."""
    product: NDArray[np.float32] = np.einsum("nsc,nsc->ns", one, other)
    return product
