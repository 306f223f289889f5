"""What physics alone says about a device, without a reference: units, gravity, clipping, and the law of turns."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from har.devices._finding import Finding
from har.devices._recorded import Recorded
from har.devices._signal import Motion
from har.plausibility import GRAVITY, TO_SI

_GRAVITY_SHARE = 0.5
"""Of the acceleration's size, the length of its mean vector over two seconds, in a quarter of them at least: less, and
there is no gravity. With gravity it is 0.7 when running, 1 at rest."""
_UNIT_SLACK = 1.8
_CLIPPED_RUNS = 3
_CLIPPED_FROM = 1.2 * GRAVITY
_OTHER = {"accelerometer": ("g", "mg", "m/s^2"), "gyroscope": ("rad/s", "deg/s")}


def magnitude(motion: Motion) -> float:
    """The median of |a|, as declared m/s²; NaN: there are no windows."""
    found = motion.windows[..., :3]
    return float(np.median(np.linalg.norm(found, axis=2))) if found.size else math.nan


def gravity_share(motion: Motion) -> float:
    """The length of a window's mean vector beside the root mean square of |a|, upper quartile of the windows."""
    found = motion.windows[..., :3]
    if not found.size:
        return math.nan
    size = np.sqrt(np.square(found).sum(axis=2).mean(axis=1))
    return float(np.quantile(np.linalg.norm(found.mean(axis=1), axis=1) / np.maximum(size, 1e-12), 0.75))


def accelerometer_unit(motion: Motion, stated: str) -> tuple[Finding | None, float]:
    """Whether |a| shows that the values are in another unit than stated, and the factor that mends the values."""
    value = magnitude(motion)
    if math.isnan(value) or value <= 0 or gravity_share(motion) < _GRAVITY_SHARE:
        return None, 1.0
    ratios = {unit: value / TO_SI[stated] * TO_SI[unit] / GRAVITY for unit in _OTHER["accelerometer"]}
    unit = min(ratios, key=lambda name: (abs(math.log(ratios[name])), name != stated))
    off = abs(math.log(ratios[unit]))
    if unit == stated or off > math.log(_UNIT_SLACK):
        return None, 1.0
    finding = Finding(
        "accelerometer_unit",
        f"The acceleration is in {unit}, and is read as {stated}",
        (
            f"the median of |a| is {value:.3g} m/s² read as {stated}, and {ratios[unit] * GRAVITY:.3g} m/s² read as "
            f"{unit}; gravity is 9.81",
        ),
        f"Read it as {unit}.",
        (f"--unit accelerometer={unit}",),
        ("[sensors.accelerometer]", f'unit = "{unit}"'),
    )
    return finding, TO_SI[unit] / TO_SI[stated]


def missing_gravity(motion: Motion) -> Finding | None:
    """Whether the acceleration has no steady part, as after a high-pass filter."""
    share = gravity_share(motion)
    if math.isnan(share) or share >= _GRAVITY_SHARE:
        return None
    return Finding(
        "gravity",
        "Gravity is missing from the acceleration",
        (
            f"within two seconds the acceleration averages out: its mean vector has {share:.0%} of its size (with "
            "gravity: 90 % and more)",
        ),
        "Export the total acceleration (raw accelerometer), not the linear or user acceleration. Where gravity is in "
        "columns of its own, add them first.",
    )


def clipping(recorded: list[Recorded], factor: float) -> Finding | None:
    """Whether an axis often stops at the same extreme value, beyond 1.2 g."""
    worst: tuple[int, float, str] | None = None
    total = 0
    for one in recorded:
        total += len(one.accelerometer)
        for axis, values in zip("xyz", one.accelerometer.T * factor, strict=True):
            for sign in (1.0, -1.0):
                at, extreme = _clipped(sign * values)
                if at and (worst is None or at > worst[0]):
                    worst = at, extreme, f"{'' if sign > 0 else '-'}{axis}"
    if worst is None:
        return None
    count, extreme, axis = worst
    level = extreme / GRAVITY
    return Finding(
        "clipping",
        f"The acceleration is clipped at ±{level:.3g} g",
        (f"{count:,} of {total:,} samples stop at exactly {level:.4g} g along {axis}, several in a row",),
        "Set the device to a larger range (±8 g, for sports ±16 g) and record again; what was clipped is lost. To mark "
        "such samples as saturated, set the range in har.toml.",
        (),
        ("[sensors.accelerometer]", f"full_scale = {level:.3g}  # in g"),
    )


def _clipped(values: NDArray[np.float64]) -> tuple[int, float]:
    """Samples at the largest value, if it is held for two samples or more three times or more."""
    finite = values[np.isfinite(values)]
    extreme = float(finite.max(initial=0.0))
    if extreme < _CLIPPED_FROM:
        return 0, extreme
    at = np.concatenate([[False], values >= extreme * (1 - 1e-6), [False]])
    starts = np.flatnonzero(at[1:] & ~at[:-1])
    ends = np.flatnonzero(at[:-1] & ~at[1:])
    return (int(at.sum()) if (ends - starts >= 2).sum() >= _CLIPPED_RUNS else 0), extreme


def gyroscope_unit(stated: str, gain: float) -> Finding:
    """The finding that the angular rate must be multiplied by about 57 or 1/57."""
    unit = "deg/s" if gain < 1 else "rad/s"
    times = "57 times as far" if gain < 1 else "a 57th of the way"
    return Finding(
        "gyroscope_unit",
        f"The angular rate is in {unit}, and is read as {stated}",
        (f"read as {stated}, the gyroscope turns {times} as gravity does; read as {unit}, they agree",),
        f"Read it as {unit}.",
        (f"--unit gyroscope={unit}",),
        ("[sensors.gyroscope]", f'unit = "{unit}"'),
    )
