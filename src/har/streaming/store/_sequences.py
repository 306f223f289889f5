"""Which messages of a stream were received, in little space: runs of sequence numbers with the times they cover."""

from __future__ import annotations

from enum import Enum

import msgspec

_MOST_RUNS = 256
_MOST_PAST = 8
GIVEN_UP_US = 3_600_000_000
"""A gap is passed over in `durable` after so long: a device that still has the message would have sent it again."""


class Seen(Enum):
    """Whether a message was received before."""

    NEW = "new"
    DUPLICATE = "duplicate"


class Run(msgspec.Struct, array_like=True):
    """Consecutive messages: their first and last sequence, and the earliest and latest stamp of a first sample."""

    first: int
    last: int
    t0: int
    t1: int

    def holds(self, sequence: int, t0_us: int) -> bool:
        return self.first <= sequence <= self.last and self.t0 <= t0_us <= self.t1


class Sequences(msgspec.Struct, array_like=True):
    """The messages of one stream.

    A sequence that comes again with a stamp outside of its run's times is no duplicate: the device has begun to count
    anew under the same session id. Beyond 256 gaps, the oldest are closed: a message that fills one is a duplicate.

    Attributes:
        runs: sorted, not adjacent.
        past: runs of earlier counts under the same session id.
        base: every sequence below it is durable, or given up.
        gap_since_us: wall clock since when a message that `durable` waits for is missing; 0: none is.
        refused: messages that came and cannot be used, of which no better copy has come.
    """

    runs: list[Run] = []
    past: list[Run] = []
    base: int = 0
    gap_since_us: int = 0
    refused: list[int] = []

    @classmethod
    def loads(cls, content: bytes) -> Sequences:
        """What `dumps` wrote."""
        return _decoder.decode(content)

    def dumps(self) -> bytes:
        """As bytes."""
        return _encoder.encode(self)

    @property
    def durable(self) -> int:
        """The sequence up to which all messages were received, refused or given up; -1: not even the first."""
        last = self._past_refused(self.base - 1)
        for run in self.runs:
            if run.first > last + 1:
                break
            last = self._past_refused(max(last, run.last))
        return last

    def _past_refused(self, last: int) -> int:
        while last + 1 in self.refused:
            last += 1
        return last

    @property
    def missing(self) -> int:
        """How many sequences are absent between those received."""
        return sum(after.first - run.last - 1 for run, after in zip(self.runs, self.runs[1:], strict=False))

    def add(self, sequence: int, t0_us: int, now_us: int) -> Seen:
        """Add a message, received now."""
        runs = self.runs
        if self.refused and sequence in self.refused:
            self.refused.remove(sequence)
        if runs:
            run = runs[-1]
            if sequence == run.last + 1:  # by far the most
                run.last = sequence
                run.t0, run.t1 = min(run.t0, t0_us), max(run.t1, t0_us)
                if self.gap_since_us or sequence < self.base:
                    self._look_at_gaps(now_us)
                return Seen.NEW
        for run in runs:
            if run.first <= sequence <= run.last:
                return self._again(run, sequence, t0_us, now_us)
        if any(run.holds(sequence, t0_us) for run in self.past):
            return Seen.DUPLICATE
        self._insert(sequence, t0_us)
        self._look_at_gaps(now_us)
        return Seen.NEW

    def add_refused(self, sequence: int, now_us: int) -> None:
        """Add a message that cannot be used: `durable` does not wait for it, and a better copy is new."""
        if sequence not in self.refused and not any(run.first <= sequence <= run.last for run in self.runs):
            self.refused = [*self.refused, sequence][-_MOST_RUNS:]
            self._look_at_gaps(now_us)

    def _again(self, run: Run, sequence: int, t0_us: int, now_us: int) -> Seen:
        if run.t0 <= t0_us <= run.t1 or any(old.holds(sequence, t0_us) for old in self.past):
            return Seen.DUPLICATE
        whole = Run(
            self.runs[0].first,
            self.runs[-1].last,
            min(one.t0 for one in self.runs),
            max(one.t1 for one in self.runs),
        )
        self.past = [*self.past, whole][-_MOST_PAST:]
        self.runs = [Run(sequence, sequence, t0_us, t0_us)]
        self.base = 0
        self.gap_since_us = 0
        self._look_at_gaps(now_us)
        return Seen.NEW

    def _insert(self, sequence: int, t0_us: int) -> None:
        merged = Run(sequence, sequence, t0_us, t0_us)
        kept = []
        for run in self.runs:
            if run.last == sequence - 1 or run.first == sequence + 1:
                merged = Run(
                    min(run.first, merged.first),
                    max(run.last, merged.last),
                    min(run.t0, merged.t0),
                    max(run.t1, merged.t1),
                )
            else:
                kept.append(run)
        self.runs = sorted([*kept, merged], key=lambda run: run.first)
        if len(self.runs) > _MOST_RUNS:
            one, other = self.runs[:2]
            self.runs[:2] = [Run(one.first, other.last, min(one.t0, other.t0), max(one.t1, other.t1))]
            self.base = max(self.base, other.first)

    def _look_at_gaps(self, now_us: int) -> None:
        durable = self.durable
        beyond = [run.first for run in self.runs if run.first > durable + 1]
        if not beyond:
            self.gap_since_us = 0
        elif not self.gap_since_us:
            self.gap_since_us = now_us
        elif now_us - self.gap_since_us > GIVEN_UP_US:
            self.base = beyond[0]
            self.gap_since_us = now_us if len(beyond) > 1 else 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Sequences)
