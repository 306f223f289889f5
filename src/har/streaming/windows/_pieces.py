"""The samples of a segment at the project's rate that are still needed, as consecutive pieces; nothing is copied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from har.streaming.windows._clock import stamps


class Piece:
    """Consecutive samples that became known with one message.

    Attributes:
        at: number of the first within the segment.
        values: float32 (n, C).
        base, first, step: sample i was taken at `base + round((first + i) * step)`, µs.
        received: when the message was received, µs.
    """

    __slots__ = ("at", "base", "first", "received", "step", "values")

    def __init__(self, at: int, values: NDArray[np.float32], base: int, first: int, step: float, received: int) -> None:
        self.at = at
        self.values = values
        self.base = base
        self.first = first
        self.step = step
        self.received = received

    def time(self, number: int) -> int:
        """The time of a sample, by its number within the segment."""
        return self.base + round((self.first + number - self.at) * self.step)


class Pieces:
    """Pieces in order.

    Attributes:
        end: number of the sample that comes next.
    """

    __slots__ = ("_list", "end")

    def __init__(self, first: int = 0) -> None:
        self._list: list[Piece] = []
        self.end = first

    @property
    def begin(self) -> int:
        """Number of the first sample that is still there."""
        return self._list[0].at if self._list else self.end

    @property
    def last_us(self) -> int:
        """The time of the last sample."""
        return self._list[-1].time(self.end - 1)

    def add(self, values: NDArray[np.float32], base: int, first: int, step: float, received: int) -> None:
        """Append samples."""
        if len(values):
            self._list.append(Piece(self.end, values, base, first, step, received))
            self.end += len(values)

    def time(self, number: int) -> int:
        """The time of a sample that is still there."""
        return self._of(number).time(number)

    def received(self, number: int) -> int:
        """When the message of a sample was received."""
        return self._of(number).received

    def _of(self, number: int) -> Piece:
        for piece in self._list:
            if number < piece.at + len(piece.values):
                return piece
        raise IndexError(number)

    def values(self, start: int, end: int) -> NDArray[np.float32]:
        """Samples `start` to before `end`, float32 (end - start, C)."""
        parts = []
        for piece in self._list:
            low, high = start - piece.at, end - piece.at
            if high <= 0:
                break
            if low < len(piece.values):
                parts.append(piece.values[max(low, 0) : high])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def times(self, start: int, end: int) -> NDArray[np.int64]:
        """Their times, int64 (end - start,)."""
        parts = []
        for piece in self._list:
            low, high = max(start - piece.at, 0), min(end - piece.at, len(piece.values))
            if high <= 0:
                break
            if low < high:
                parts.append(stamps(piece.base, piece.step, piece.first + low, high - low))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def first_from(self, time_us: int) -> int:
        """Number of the first sample at this time or later; `end` if there is none."""
        for piece in self._list:
            size = len(piece.values)
            if piece.time(piece.at + size - 1) >= time_us:
                return piece.at + int(np.searchsorted(stamps(piece.base, piece.step, piece.first, size), time_us))
        return self.end

    def forget(self, number: int) -> None:
        """Drop samples before this one."""
        pieces = self._list
        gone = 0
        while gone < len(pieces) and pieces[gone].at + len(pieces[gone].values) <= number:
            gone += 1
        if gone:
            del pieces[:gone]
        if pieces and 2 * (number - pieces[0].at) > len(pieces[0].values) > 256:
            # The needed end of a long message must not keep all of it in memory.
            piece, skip = pieces[0], number - pieces[0].at
            pieces[0] = Piece(
                number, piece.values[skip:].copy(), piece.base, piece.first + skip, piece.step, piece.received
            )

    def held(self) -> int:
        """Samples in memory."""
        return sum(len(piece.values) for piece in self._list)
