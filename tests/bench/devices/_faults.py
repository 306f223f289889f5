"""Faults of devices, applied to recordings as they are read: in m/s² and rad/s unless the fault is a wrong unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from har.devices import Recorded, axes_of
from har.plausibility import GRAVITY, TO_SI

Fault = Callable[[Recorded, np.random.Generator], Recorded]


def faults() -> Iterator[tuple[str, str, Fault]]:
    """The true cause (a code of `har.devices.CAUSES`, or "none"), the fault's name, and the fault."""
    yield "none", "none", lambda one, _: one
    for stated, true in (("g", "m/s^2"), ("m/s^2", "g"), ("g", "mg")):
        yield "accelerometer_unit", f"{true} read as {stated}", _unit("accelerometer", stated, true)
    for stated, true in (("rad/s", "deg/s"), ("deg/s", "rad/s")):
        yield "gyroscope_unit", f"{true} read as {stated}", _unit("gyroscope", stated, true)
    yield "gravity", "high-pass 0.3 Hz", _without_gravity
    for axes in ("y,x,z", "x,z,y", "z,y,x"):
        yield "axes_swapped", f"axes {axes}", _axes(axes, axes)
    for axes in ("-x,y,z", "x,-y,z", "x,y,-z"):
        yield "axis_flipped", f"axes {axes}", _axes(axes, axes)
    for axes in ("-x,-y,z", "-x,y,-z", "x,-y,-z"):
        yield "turned", f"axes {axes}", _axes(axes, axes)
    for axes, rate in (("-x,y,z", "x,-y,-z"), ("x,-y,z", "-x,y,-z"), ("x,y,-z", "-x,-y,z")):
        yield "mirrored", f"mirrored {axes}", _axes(axes, rate)
    yield "axes_apart", "gyroscope y,x,z", _axes("x,y,z", "y,x,z")
    yield "axes_apart", "gyroscope x,y,-z", _axes("x,y,z", "x,y,-z")
    yield "rate", "half the rate stated", _rate(0.5)
    yield "rate", "double the rate stated", _rate(2.0)
    yield "jitter", "20 % of the samples lost", _lost
    yield "clipping", "clipped at 2 g", _clipped
    yield "filter", "low-pass 5 Hz", _filtered


def changed(before: list[Recorded], after: list[Recorded]) -> bool:
    """Whether a fault changed more than a thousandth of the samples: calm people do not reach 2 g."""
    if any(len(one.times_us) != len(other.times_us) for one, other in zip(before, after, strict=True)):
        return True
    apart = [
        (one.times_us != other.times_us)
        | (one.accelerometer != other.accelerometer).any(axis=1)
        | (_rates(one) != _rates(other)).any(axis=1)
        for one, other in zip(before, after, strict=True)
    ]
    return float(np.concatenate(apart).mean()) > 1e-3


def _rates(one: Recorded) -> NDArray[np.float64]:
    return np.zeros_like(one.accelerometer) if one.gyroscope is None else one.gyroscope


def _unit(sensor: str, stated: str, true: str) -> Fault:
    factor = TO_SI[stated] / TO_SI[true]

    def apply(one: Recorded, _: np.random.Generator) -> Recorded:
        units = {**one.units, sensor: stated}
        if sensor == "gyroscope":
            return replace(one, gyroscope=_rates(one) * factor, units=units)
        return replace(one, accelerometer=one.accelerometer * factor, units=units)

    return apply


def _axes(accelerometer: str, gyroscope: str) -> Fault:
    first, second = axes_of(accelerometer), axes_of(gyroscope)
    assert first is not None
    assert second is not None

    def apply(one: Recorded, _: np.random.Generator) -> Recorded:
        return replace(one, accelerometer=one.accelerometer @ first.T, gyroscope=_rates(one) @ second.T)

    return apply


def _without_gravity(one: Recorded, _: np.random.Generator) -> Recorded:
    values = one.accelerometer
    slow = _low_passed(values, one.times_us, 0.3)
    return replace(one, accelerometer=values - slow)


def _rate(share: float) -> Fault:
    def apply(one: Recorded, _: np.random.Generator) -> Recorded:
        first = one.times_us.min()
        return replace(one, times_us=np.round((one.times_us - first) / share).astype(np.int64) + first, counted=True)

    return apply


def _lost(one: Recorded, draw: np.random.Generator) -> Recorded:
    kept = draw.random(len(one.times_us)) >= 0.2
    return replace(one, times_us=one.times_us[kept], accelerometer=one.accelerometer[kept], gyroscope=_rates(one)[kept])


def _clipped(one: Recorded, _: np.random.Generator) -> Recorded:
    return replace(one, accelerometer=np.clip(one.accelerometer, -2 * GRAVITY, 2 * GRAVITY))


def _filtered(one: Recorded, _: np.random.Generator) -> Recorded:
    return replace(
        one,
        accelerometer=_low_passed(one.accelerometer, one.times_us, 5.0),
        gyroscope=_low_passed(_rates(one), one.times_us, 5.0),
    )


def _low_passed(values: NDArray[np.float64], times_us: NDArray[np.int64], cutoff_hz: float) -> NDArray[np.float64]:
    """A Butterworth filter's magnitude of order 4, without a phase, over reflected values."""
    rate = 1e6 / float(np.median(np.diff(np.sort(times_us))))
    mirrored = np.concatenate([2 * values[:1] - values[::-1], values, 2 * values[-1:] - values[::-1]])
    spectrum = np.fft.rfft(mirrored, axis=0)
    frequency = np.fft.rfftfreq(len(mirrored), 1 / rate)
    gain = 1 / np.sqrt(1 + (frequency / cutoff_hz) ** 8)
    filtered: NDArray[np.float64] = np.fft.irfft(spectrum * gain[:, None], len(mirrored), axis=0)
    return filtered[len(values) : 2 * len(values)]
