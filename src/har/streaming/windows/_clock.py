"""When the samples of a message were taken: by its first stamp and its rate, corrected where these cannot be right."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_RIGHT = 0.005
"""A device whose messages begin where the rate says, within this share, has the rate that it declares."""
_ALIKE = 0.01
_OFF = 4
"""Messages in a row that must be off by the same share before the declared rate counts as wrong."""
_APART = 0.25
"""A rate that is further off than this is no wrong rate: samples were lost."""
_WHOLE = 0.1
"""Lost samples delay the next message by whole intervals, within this share of one."""


class Clock(NamedTuple):
    """A device's clock within a segment, before the next message.

    Attributes:
        number: samples so far.
        last: time of the last one, µs; before the segment's first message, of the session's last one.
        t0: stamp of the last message.
        size: its samples.
        declared: µs between its samples, as it said.
        off: messages in a row that began earlier or later than the declared rate says, by about the same share.
        off_t0: stamp of the first of these.
        off_size: samples since then.
        measured: µs between two samples, where the declared rate is wrong; 0: it is right.
    """

    number: int
    last: int
    t0: int = 0
    size: int = 0
    declared: float = 0.0
    off: int = 0
    off_t0: int = 0
    off_size: int = 0
    measured: float = 0.0

    def place(self, t0: int, size: int, rate_hz: float) -> tuple[int, float, Clock]:
        """Where a message's samples are, and the clock after it.

        Returns:
            `base` and `step` in µs: sample i was taken at `base + round(i * step)`; and the next clock.
        """
        declared = 1e6 / rate_hz
        if (
            self.number
            and not (self.off or self.measured)
            and abs(t0 - self.t0 - self.size * self.declared) <= (_RIGHT * self.size * self.declared)
        ):
            off, off_t0, off_size, measured = 0, 0, 0, 0.0
        else:
            off, off_t0, off_size, measured = self._measure(t0) if self.number else (0, 0, 0, 0.0)
        step = measured or declared
        base = t0
        soonest = self.last + max(1, int(step / 2))
        if t0 < soonest:
            # The message before was placed too wide, or the clock was set back a little: catch up within this one.
            base = soonest
            step = max((t0 + size * step - base) / size, step / 2, 1.0)
        last = base + round((size - 1) * step)
        clock = Clock(self.number + size, last, t0, size, declared, off, off_t0, off_size, measured)
        return base, step, clock

    def _measure(self, t0: int) -> tuple[int, int, int, float]:
        """Whether messages keep beginning earlier or later than the declared rate says."""
        expected = self.size * self.declared
        ratio = (t0 - self.t0) / expected
        if abs(ratio - 1) <= _RIGHT or abs(ratio - 1) > _APART:
            return 0, 0, 0, 0.0
        lost = (t0 - self.t0 - expected) / self.declared
        if lost > 0.5 and abs(lost - round(lost)) < _WHOLE and not self.measured:
            return 0, 0, 0, 0.0
        if self.off:
            before = (self.t0 - self.off_t0) / (self.off_size * self.declared) if self.off_size else ratio
            if abs(ratio - before) <= _ALIKE:
                off, size = self.off + 1, self.off_size + self.size
                return off, self.off_t0, size, (t0 - self.off_t0) / size if off >= _OFF else 0.0
        return 1, self.t0, self.size, 0.0


_CACHED = 4096
"""Samples of a message up to which the offsets of its samples are kept for the next one."""


@lru_cache(maxsize=256)
def _offsets(step: float, size: int) -> NDArray[np.int64]:
    offsets = np.round(np.arange(size) * step).astype(np.int64)
    offsets.flags.writeable = False
    return offsets


def stamps(base: int, step: float, first: int, size: int) -> NDArray[np.int64]:
    """The times of samples `first` to `first + size` of a message or a grid, int64 (size,), µs."""
    end = first + size
    if end <= _CACHED:
        return base + _offsets(step, 1 << (end - 1).bit_length())[first:end]
    return base + np.round(np.arange(first, end) * step).astype(np.int64)
