"""The sentences of findings that compare with a reference, and of what recordings do not tell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from har.devices._axes import NAMES, ways, words
from har.devices._finding import Finding
from har.devices._recorded import Timing
from har.devices._ways import APART, FLIPPED, MIRRORED, SWAPPED, Way

if TYPE_CHECKING:
    from har.devices._reference import Worn

NO_WINDOWS = "No gap-free stretch of two seconds: nothing can be said about the values. Record without pauses."
STILL = "It hardly moves: the unit of the angular rate cannot be told. Walk for 20 seconds and turn the device over."
WAYS_OPEN = (
    "Axes cannot be told for sure from these movements. Walk for 30 seconds, sit down, stand up, and turn the device."
)
WAYS_WITHOUT = "Swapped axes and flipped signs of both sensors cannot be told without a reference: train a model first."


def too_short(seconds: float) -> str:
    """Too little was recorded."""
    return f"{seconds:.1f} s without a gap are too few to say anything about the values: record 10 seconds or more."


def too_slow(rate_hz: float, needed_hz: float) -> Finding:
    """The device samples more slowly than the project."""
    return Finding(
        "rate",
        f"It samples at {rate_hz:.3g} Hz, and the model was trained on {needed_hz:.3g} Hz",
        (f"the stamps are {1000 / rate_hz:.3g} ms apart; every second value or more would be interpolated",),
        f"Set the device to {needed_hz:.3g} Hz or faster. If it cannot, lower sensors.rate_hz and train again.",
        (),
        ("[sensors]", f"rate_hz = {rate_hz:.3g}"),
        strength=0.95,
    )


def wrong_rate(stated_hz: float, times: float, counted: bool) -> Finding:
    """Movements are too slow or too fast for the stamps."""
    true_hz = stated_hz * times
    word = "half" if times > 1 else "twice"
    return Finding(
        "rate",
        f"The stamps say {stated_hz:.3g} Hz, and the samples were taken at about {true_hz:.3g} Hz",
        (
            f"movements go at {word} the speed of those that the model was trained on, and turns of the gyroscope "
            f"carry gravity {'twice as far' if times > 1 else 'half as far'} as it really moves",
        ),
        f"Read the samples at {true_hz:.3g} Hz." if counted else "Check the unit and the source of the stamps.",
        (f"-o time-unit=samples -o rate={true_hz:.3g}",),
        (),
        strength=0.9,
    )


def uneven(found: Timing, usual: float) -> Finding:
    """Samples are missing, or stamps jitter."""
    evidence = [
        f"{found.uneven:.0%} of the samples have no measured one near and would be interpolated (at training "
        f"{usual:.1%} at most)",
        f"{found.rate_hz:.4g} samples per second between gaps, {found.gaps} gaps",
    ]
    if found.repeated > 0.01:
        evidence.append(f"{found.repeated:.0%} of the rows have the stamp of another row")
    return Finding(
        "jitter",
        "Samples are missing, or come unevenly",
        tuple(evidence),
        "Write the sensor's own stamps, not those of the receipt; send samples in batches, or use a wired or buffered "
        "transfer. Switch power saving off.",
        strength=0.92,
    )


def filtered(value: float, limit: float) -> Finding:
    """High frequencies are missing."""
    return Finding(
        "filter",
        "The signal is low-pass filtered",
        (
            f"above 10 Hz there is 10^{value:.1f} of the power between 1 and 4 Hz; of the training's devices none has "
            f"less than 10^{limit + 1:.1f}",
        ),
        "Switch the filter of the device or of the app off (raw sensor values), or lower its decimation.",
        strength=0.9,
    )


def placement(stated: str, looks_like: str, worn: Worn | None) -> Finding:
    """It moves like nothing that was trained on."""
    name = stated or "the trained place"
    subjects = worn.subjects if worn else 0
    if looks_like:
        return Finding(
            "placement",
            f"It is worn elsewhere: it moves like {looks_like}, not like {name}",
            (f"its windows lie within what {looks_like} shows at training, and outside of {name}",),
            "State the true placement.",
            (f"-o placement-is={looks_like}",),
            strength=0.8,
        )
    return Finding(
        "placement",
        f"It moves like nothing that the model was trained on ({name}): another placement, or other activities",
        (f"its windows are further from those of all {subjects} subjects than any of them is from the others",),
        "Wear it where the training's devices were worn; or record and label this placement, and train again.",
        strength=0.7,
    )


def way(found: Way, beyond: float, worn: Worn | None) -> Finding:
    """Axes are swapped, flipped, turned or mirrored."""
    strength = 0.5 + 0.4 * (1 - math.exp(-max(0.0, beyond) / 4))
    first, second = words(found.accelerometer), words(found.gyroscope)
    pairs = [("accelerometer", first), ("gyroscope", second)]
    options = tuple(f"--axes {sensor}={axes}" for sensor, axes in pairs if axes != "x,y,z")
    code, title, why = _described(found, worn is not None)
    fits = "training" if worn else "law of turns"
    beside = f"read as {' and '.join(options)}, it fits the {fits} better by a factor "
    return Finding(
        code,
        title,
        (why, f"{beside}of e^{beyond:.1f} beyond what differences between people explain"),
        "Read the axes so, or name the columns in that order.",
        options,
        strength=strength,
    )


def _described(found: Way, has_reference: bool) -> tuple[str, str, str]:
    law = "turns of the gyroscope move gravity to the wrong side, as in a left-handed frame of axes"
    matrix = ways()[found.accelerometer]
    if found.kind == APART:
        if found.gyroscope:
            return "axes_apart", "The gyroscope's axes are not those of the accelerometer", law
        return "axes_apart", "The accelerometer's axes are not those of the gyroscope", law
    flipped = [NAMES[axis] for axis in range(3) if matrix[axis, axis] < 0]
    if found.kind == FLIPPED:
        return "axis_flipped", f"Axis {flipped[0]} has the wrong sign, of both sensors", law
    if found.kind == SWAPPED:
        moved = [NAMES[axis] for axis in range(3) if matrix[axis, axis] == 0]
        return "axes_swapped", f"Axes {' and '.join(moved) or 'x, y and z'} are swapped, of both sensors", law
    gravity = "gravity and movements lie along other axes than at training"
    if found.kind == MIRRORED:
        return "mirrored", "It is worn on the other side of the body than at training (mirrored)", gravity
    angle = "half a turn" if found.sort == "half" else "a quarter turn or two"
    return "turned", f"The device sits turned, by {angle}", gravity
