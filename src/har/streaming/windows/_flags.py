"""Flags of saturated and stuck samples, as `har.recordings` sets them; and whether there can be any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.recordings import fault_flags
from har.streaming.windows._rules import Rules


def faults(times: NDArray[np.int64], values: NDArray[np.float32], rules: Rules, rate_hz: float) -> NDArray[np.int8]:
    """Bits of `har.schema.FLAGS` for consecutive samples of a segment, int8 (n,).

    Args:
        times: int64 (n,), µs.
        values: float32 (n, C).
        rules: with the sensors' limits.
        rate_hz: of the device.
    """
    measured = np.ascontiguousarray(values[:, : len(rules.limits)].T)
    return fault_flags(times, measured, np.zeros(len(times), np.int32), rules.sensors, rate_hz)


def may_be_faulty(values: NDArray[np.float32], rules: Rules, rate_hz: float) -> bool:
    """Whether consecutive samples, float32 (n, C), can have a flag; most have none."""
    measured = values[:, : len(rules.limits)]
    return bool((np.abs(measured) >= rules.limits).any()) or _repeats(measured, rules, rate_hz)


def _repeats(values: NDArray[np.float32], rules: Rules, rate_hz: float) -> bool:
    """Whether a value may repeat for as long as a stuck one."""
    # A run of n samples has n - 1 repetitions in turn: a whole block of half as many lies within.
    block = max(2, int(rate_hz / 1.5) // 2)
    count = (len(values) - 1) // block
    if count < 1:
        return len(values) >= 5
    # Most signals change from one sample of a coarse grid to the next.
    coarse = values[: count * block + 1 : block]
    alike = (np.abs(coarse[1:] - coarse[:-1]) <= block * rules.within).any(axis=0)
    if not alike.any():
        return False
    same = np.abs(np.diff(values[:, alike], axis=0)) <= rules.within[alike]
    return bool(same[: count * block].reshape(count, block, -1).all(axis=1).any())
