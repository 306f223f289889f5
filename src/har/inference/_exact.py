"""Answers whose bits do not depend on which windows were answered in the same call.

ONNX Runtime chooses kernels by shape, and some of them sum in another order where a row is not aligned in memory. So
the same window can get another last bit in a batch of another size, or at another place in the batch. The stream
answers windows as they come, the nightly job in large batches, and both must say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

UNIT = 16
"""Batches are filled up to a multiple of this: no kernel then treats the last elements of a tensor in another way."""
LARGEST = 64
"""Windows per call."""
_ROTATIONS = (1, 2, 3, 5, 12, 31)
_SIZES = (16, 32, 48)

Outputs = tuple[NDArray[np.float32], ...]
Run = Callable[[NDArray[np.float32]], Outputs]


def batch_unit(run: Run, length: int, channels: int) -> int:
    """`UNIT` if the bits of a model's answers depend neither on size nor place in batches of its multiples; else 1.

    It is measured: 64 made-up windows of movement are answered in several orders and sizes, on one thread. What depends
    on the place, such as a mean over rows that are not aligned, changes about half of the windows, so one of many
    orders would show it.

    Args:
        run: answers windows, float32 (N, T, C).
        length: T.
        channels: C.
    """
    generator = np.random.default_rng(0)
    offset = generator.normal(0, 5, (LARGEST, 1, channels))
    windows = (offset + generator.normal(0, 2, (LARGEST, length, channels))).astype(np.float32)
    whole = run(windows)
    for shift in _ROTATIONS:
        moved = run(np.roll(windows, shift, axis=0))
        if not _same(moved, tuple(np.roll(values, shift, axis=0) for values in whole)):
            return 1
    for size in _SIZES:
        if not _same(run(windows[:size]), tuple(values[:size] for values in whole)):
            return 1
    return UNIT


def batches(window: NDArray[np.float32], unit: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """The windows in batches whose sizes are multiples of `unit`, each with how many of its windows are wanted.

    The last batch is filled up with copies of its last window; with a unit of 1 every window comes alone.
    """
    most = LARGEST if unit > 1 else 1
    for first in range(0, len(window), most):
        part = window[first : first + most]
        missing = -len(part) % unit
        yield (np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part), len(part)


def _same(one: Outputs, other: Outputs) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
