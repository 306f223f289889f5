"""Summaries of an acceleration in steps of ten seconds: what non-wear and calibration look at, whatever the length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EPOCH_US = 10_000_000
"""µs in an epoch. Epochs begin at whole multiples of it since 1970, so that those of several files go together."""
_ROWS = 1 << 18
"""Samples that are summarised at a time, which bounds the memory of copies."""


@dataclass(frozen=True, eq=False)
class Epochs:
    """Statistics of each axis in consecutive epochs that have a sample, of m epochs.

    Attributes:
        number: int64 (m,), strictly increasing: the start in µs since 1970, divided by `EPOCH_US`.
        count: int64 (m,), samples.
        mean, sd: float64 (m, 3), in the unit of the samples.
        low, high: float64 (m, 3), the smallest and the largest value.
    """

    number: NDArray[np.int64]
    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, times_us: NDArray[np.int64], axes: Sequence[NDArray[np.floating]], scale: float = 1.0) -> Epochs:
        """Summarise samples; memory does not grow with their number.

        Args:
            times_us: int64 (n,), increasing.
            axes: three of (n,).
            scale: factor from their unit to that of the statistics.
        """
        parts, first = [], 0
        while first < len(times_us):
            last = min(first + _ROWS, len(times_us))
            if last < len(times_us):
                # Up to the end of an epoch, unless one epoch fills the block.
                begin = int(times_us[last] // EPOCH_US * EPOCH_US)
                whole = int(np.searchsorted(times_us[first:last], begin)) + first
                last = whole if whole > first else int(np.searchsorted(times_us, begin + EPOCH_US))
            parts.append(_block(times_us[first:last], [axis[first:last] for axis in axes], scale))
            first = last
        return cls.joined(parts)

    @classmethod
    def joined(cls, parts: Iterable[Epochs]) -> Epochs:
        """Those of several recordings, in the order of time; of epochs with one number the one with more samples."""
        given = list(parts)
        if len(given) == 1:
            return given[0]
        if not given:
            none = np.empty((0, 3))
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), none, none, none, none)
        columns = [np.concatenate([getattr(part, name) for part in given]) for name in cls.__dataclass_fields__]
        order = np.lexsort((-columns[1], columns[0]))
        number = columns[0][order]
        order = order[np.diff(number, prepend=number[:1] - 1) > 0]
        return cls(*(column[order] for column in columns))

    def __len__(self) -> int:
        return len(self.number)

    @property
    def repeats(self) -> NDArray[np.bool_]:
        """Epochs in which no axis changes, bool (m,): the sensor sleeps, for every sensor at rest has noise."""
        return np.asarray((self.high == self.low).all(axis=1) & (self.count > 1))


def _block(times_us: NDArray[np.int64], axes: Sequence[NDArray[np.floating]], scale: float) -> Epochs:
    number = times_us // EPOCH_US
    first = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    count = np.diff(np.append(first, len(number)))
    mean, sd, low, high = (np.empty((len(first), 3)) for _ in range(4))
    for place, axis in enumerate(axes):
        low[:, place] = np.minimum.reduceat(axis, first) * scale
        high[:, place] = np.maximum.reduceat(axis, first) * scale
        middle = axis[0]
        values = axis.astype(np.float64) - middle  # around zero, for the precision of the squares
        average = np.add.reduceat(values, first) / count
        squares = np.add.reduceat(np.square(values), first) / count - np.square(average)
        mean[:, place] = (average + middle) * scale
        sd[:, place] = np.sqrt(np.maximum(squares, 0)) * scale
    return Epochs(number[first], count, mean, sd, low, high)
