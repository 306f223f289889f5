"""Which way a device's axes lie beside the reference's: scores of all likely ways from physics and from neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from har.devices._axes import handedness, place, relations, ways

LAW = 1.0
"""Weight of the physical law beside the nearness to the reference's windows."""
LAW_BLOCKS, _NEAR_BLOCKS = 40, 12
"""Evidence of more blocks of four seconds than this grows more slowly: they come from one person and device."""

NONE, TURNED, MIRRORED, SWAPPED, FLIPPED, APART = "none", "turned", "mirrored", "swapped", "flipped", "apart"
PRIORS = {
    "none": 0.0,
    "half": -0.5,
    "swap": -0.5,
    "flip": -0.5,
    "mirror": -1.0,
    "quarter": -1.5,
    "apart": -3.0,
    "left": -3.0,
    "mirrored-turn": -3.0,
}
_KINDS = {
    "none": NONE,
    "half": TURNED,
    "quarter": TURNED,
    "mirror": MIRRORED,
    "mirrored-turn": MIRRORED,
    "swap": SWAPPED,
    "flip": FLIPPED,
    "left": SWAPPED,
    "apart": APART,
}
NATURAL = ("half", "quarter", "mirror", "mirrored-turn")
"""Ways in which people themselves differ: the other side of the body, a device put on the other way round."""


@dataclass(frozen=True)
class Way:
    """A hypothesis: the accelerometer's values became `accelerometer @`, the gyroscope's `gyroscope @`.

    Attributes:
        accelerometer, gyroscope: indices into `har.devices._axes.ways`.
        sort: a key of the priors.
    """

    accelerometer: int
    gyroscope: int
    sort: str

    @property
    def kind(self) -> str:
        """`NONE`, `TURNED`, …"""
        return _KINDS[self.sort]


@cache
def likely() -> tuple[Way, ...]:
    """Every way that is looked for; the first one changes nothing.

    Both sensors the same way (24 turns, and 24 left-handed frames), both mirrored as a movement in a mirror is (24),
    and one of the sensors alone (47 each).
    """
    found = []
    for index, way in enumerate(ways()):
        diagonal = bool(np.abs(np.diag(way)).all())
        negative = int((way < 0).sum())
        if handedness()[index] > 0:
            sort = "none" if index == 0 else ("half" if diagonal else "quarter")
            found.append(Way(index, index, sort))
        else:
            one = diagonal and negative == 1
            found.append(Way(index, place(-way), "mirror" if one else "mirrored-turn"))
            sort = "flip" if one else ("swap" if not diagonal and not negative else "left")
            found.append(Way(index, index, sort))
    found += [Way(index, 0, "apart") for index in range(1, len(ways()))]
    found += [Way(0, index, "apart") for index in range(1, len(ways()))]
    return tuple(sorted(found, key=lambda one: (one.sort != "none",)))


@cache
def _products() -> NDArray[np.intp]:
    return np.array([[place(one @ other) for other in ways()] for one in ways()])


def scores(
    law: NDArray[np.float64] | None,
    near: NDArray[np.float64] | None,
    near_rate: NDArray[np.float64] | None,
    allowed: Sequence[Way],
) -> NDArray[np.float64]:
    """The score of each likely way, float64 (H,), where the reference's people wear it in the `allowed` ways.

    Args:
        law: float64 (B, 48), of `har.devices._axes.law`; None: no gyroscope.
        near: float64 (N, 48), nearness of the accelerometer's windows, if each way is undone; None: no reference.
        near_rate: that of the gyroscope's windows.
        allowed: natural ways, besides the one that changes nothing.
    """
    table = np.zeros((len(ways()), len(ways())))
    if law is not None and len(law):
        table += LAW * evidence(law, len(law), LAW_BLOCKS)[relations()]
    if near is not None and len(near):
        table += evidence(near, len(near) / 2, _NEAR_BLOCKS)[:, None]
    if near_rate is not None and len(near_rate):
        table += evidence(near_rate, len(near_rate) / 2, _NEAR_BLOCKS)[None, :]
    first = np.array([one.accelerometer for one in likely()])
    second = np.array([one.gyroscope for one in likely()])
    best = np.full(len(first), -np.inf)
    for natural in (likely()[0], *allowed):
        # A person who wears it in a natural way, whose device then writes it in the hypothesis' way.
        both = _products()[first, natural.accelerometer], _products()[second, natural.gyroscope]
        best = np.maximum(best, table[both])
    result: NDArray[np.float64] = best + np.array([PRIORS[one.sort] for one in likely()])
    return result


def evidence(found: NDArray[np.float64], blocks: float, most: int) -> NDArray[np.float64]:
    """The mean over a stretch, times the number of its blocks as far as they count, float64 (48,)."""
    total: NDArray[np.float64] = found.mean(axis=0) * (blocks / (1 + blocks / most))
    return total


def is_allowed(allowed: Sequence[Way]) -> NDArray[np.bool_]:
    """Which likely ways are no fault, bool (H,)."""
    return np.array([one.sort == "none" or one in allowed for one in likely()])


def lead(found: NDArray[np.float64], allowed: Sequence[Way]) -> float:
    """How far the best faulty way is above the best one without a fault."""
    fine = is_allowed(allowed)
    return float(found[~fine].max() - found[fine].max())
