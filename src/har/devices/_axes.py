"""The 48 ways in which a device's axes can be renamed, turned and mirrored, and which of them the gyroscope allows.

A way is a signed permutation P: what is measured is `P @ a`, where `a` is what the reference's devices would measure.
The angular rate is a pseudovector: under a mirroring of the whole scene it becomes `det(P) * P @ w`. A right-handed
frame and its mirror image obey the same law, a left-handed frame, in which both sensors became `P @`, does not.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from har.plausibility import GRAVITY

NAMES = "xyz"
BLOCK_S = 4.0
"""Over which turns are integrated: long enough for movements to average out, short enough for no gyroscope to drift."""
_STEP_S = 0.1
_NOISE = 0.3
"""(m/s²)²; below it, what remains of a block's acceleration is noise."""


@cache
def ways() -> NDArray[np.float64]:
    """All signed permutations, float64 (48, 3, 3); the first one changes nothing."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            found.append(np.eye(3)[list(order)] * np.array(signs)[:, None])
    return np.array(found)


@cache
def handedness() -> NDArray[np.float64]:
    """The determinant of each way, +1 or -1, float64 (48,)."""
    return np.asarray(np.round(np.linalg.det(ways())), np.float64)


def place(way: NDArray[np.float64]) -> int:
    """The index of a signed permutation among `ways`."""
    return int(np.abs(ways() - way).sum(axis=(1, 2)).argmin())


@cache
def relations() -> NDArray[np.intp]:
    """For the way of the accelerometer and that of the gyroscope, the one in which the gyroscope seems off, (48, 48).

    With measured `a' = A a` and `w' = B w`, the law holds for `a'` and `det(A) A B⁻¹ w'`.
    """
    every = ways()
    signed = handedness()[:, None, None] * every
    return np.array([[place(one @ other.T) for other in every] for one in signed], np.intp)


def words(index: int) -> str:
    """A way as `har import --axes` takes it to undo it, such as "y,-x,z"."""
    undo = ways()[index].T
    axes = np.abs(undo).argmax(axis=1)
    return ",".join(f"{'-' if row[axis] < 0 else ''}{NAMES[axis]}" for row, axis in zip(undo, axes, strict=True))


def blocks(values: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """Means over tenths of a second in blocks of four seconds, float64 (B, steps, 6).

    Args:
        values: float64 (n, 6), m/s² and rad/s, one gap-free piece.
        rate_hz: samples per second.
    """
    step = max(1, int(_STEP_S * rate_hz))
    count = len(values) // step
    means = values[: count * step].reshape(count, step, 6).mean(axis=1)
    size = int(BLOCK_S * rate_hz / step)
    whole = count // size
    found: NDArray[np.float64] = means[: whole * size].reshape(whole, size, 6)
    return found


def law(
    found: NDArray[np.float64], rate_hz: float, gain: float = 1.0, *, only: int | None = None
) -> NDArray[np.float64]:
    """How well the gyroscope's turns explain the acceleration if it is read in each of the 48 ways, float64 (B, 48).

    The turns of a block are integrated; turned back by them, the acceleration must be one vector as long as gravity
    plus movements, which average out over seconds (an inertial navigation without a position). The score is the
    logarithm of what remains of the variance, and of how far the mean vector is from gravity.

    Args:
        found: of `blocks`.
        rate_hz: samples per second, of the values that the blocks were made from.
        gain: the angular rate is multiplied by it.
        only: this way alone; the result is (B, 1) then.
    """
    chosen = np.arange(len(ways())) if only is None else np.array([only])
    acceleration, rate = found[..., :3], found[..., 3:]
    seconds = max(1, int(_STEP_S * rate_hz)) / rate_hz
    turned = (rate[:, 1:] + rate[:, :-1]) * (gain * seconds / 2)
    square = np.empty((len(found), len(chosen)))
    for sign in (1.0, -1.0):
        # exp(Q w) is Q exp(w) Q⁻¹ for a rotation Q, so that two integrations serve all ways.
        of_sign = handedness()[chosen] == sign
        if of_sign.any():
            turns = sign * ways()[chosen[of_sign]]
            sums = _summed(_rotations(sign * turned), acceleration)
            means = np.einsum("bijk,pkj->bpi", sums, turns) / acceleration.shape[1]
            square[:, of_sign] = np.square(means).sum(axis=-1)
    remains = np.maximum(np.square(acceleration).sum(axis=-1).mean(axis=1)[:, None] - square, 0.0)
    score = -np.log(remains + _NOISE) - np.log1p(np.square(np.sqrt(square) - GRAVITY))
    return np.asarray(score, np.float64)


def _summed(steps: NDArray[np.float64], acceleration: NDArray[np.float64]) -> NDArray[np.float64]:
    """The products of the integrated rotation and the acceleration, summed over a block, float64 (B, 3, 3, 3)."""
    frames = np.empty((len(steps), steps.shape[1] + 1, 3, 3))
    frames[:, 0] = np.eye(3)
    for index in range(steps.shape[1]):
        frames[:, index + 1] = frames[:, index] @ steps[:, index]
    summed: NDArray[np.float64] = np.einsum("btij,btk->bijk", frames, acceleration, optimize=True)
    return summed


def _rotations(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices of rotation vectors, float64 (…, 3, 3), by Rodrigues' formula."""
    angle = np.maximum(np.linalg.norm(turns, axis=-1), 1e-12)[..., None, None]
    x, y, z = turns[..., 0], turns[..., 1], turns[..., 2]
    cross = np.zeros((*turns.shape, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -z, y, -x
    cross[..., 1, 0], cross[..., 2, 0], cross[..., 2, 1] = z, -y, x
    found: NDArray[np.float64] = np.eye(3) + np.sin(angle) / angle * cross
    found += (1 - np.cos(angle)) / angle**2 * (cross @ cross)
    return found


def axes_of(text: str) -> NDArray[np.float64] | None:
    """The signed permutation that "y,-x,z" names, float64 (3, 3), to be applied as `values @ matrix.T`; None: it names
    none.
    """
    matrix = np.zeros((3, 3))
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3:
        return None
    for row, part in enumerate(parts):
        name = part.removeprefix("-")
        if name not in tuple(NAMES):
            return None
        matrix[row, NAMES.index(name)] = -1.0 if part.startswith("-") else 1.0
    return matrix if (np.abs(matrix).sum(axis=0) == 1).all() else None
