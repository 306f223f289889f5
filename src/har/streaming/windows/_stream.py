"""One stream: its messages in the order of their sequence, its sessions in the lake, its segment in progress."""

from __future__ import annotations

import hashlib
import re

from har.log_lines import SESSION
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.taken import Fate, Taken
from har.streaming.windows._rules import Rules
from har.streaming.windows._segment import Segment
from har.streaming.windows._track import StreamTrack, packed, unpacked

_MOST_LOST = 64
"""Ranges of given-up sequences that a stream remembers; of older ones, a message is late."""


class Stream:
    """A stream that messages come of.

    Attributes:
        received: when its last message was received, µs.
        waiting: messages that wait for an earlier one, by sequence: id, message, time of receipt.
        waits: the first and the last stamp of these, µs; None: not known.
    """

    __slots__ = (
        "day",
        "day_count",
        "high",
        "key",
        "last",
        "lost",
        "low",
        "next",
        "number",
        "received",
        "rules",
        "run",
        "segment",
        "session",
        "unsure",
        "waiting",
        "waiting_samples",
        "waits",
    )

    def __init__(self, key: StreamKey, rules: Rules) -> None:
        self.key = key
        self.rules = rules
        self.received = 0
        self.waiting: dict[int, tuple[int, Envelope, int]] = {}
        self.waiting_samples = 0
        self.waits: tuple[int, int] | None = None
        self.run = 1
        self.session = lake_session(key, 1)
        self.next = -1
        self.unsure = 0
        self.lost: list[tuple[int, int]] = []
        self.low = self.high = 0
        self.last = self.number = self.day = self.day_count = 0
        self.segment: Segment | None = None

    def offer(self, message_id: int, envelope: Envelope, received_us: int, out: Taken) -> Fate:
        """Take a message; what it completes goes to `out`."""
        sequence = envelope.sequence
        if received_us > self.received:
            self.received = received_us
        if sequence == self.next and not self.waiting:
            self._bounds(envelope)
            self._consume(message_id, envelope, received_us, out)
            return Fate.WAITING
        fate = self._known(envelope)
        if fate is not None:
            return fate
        if self._is_another_run(envelope):
            self.flush(out)
            self._end_segment(out, goes_on=False)
            self._begin_run()
            self.next, self.unsure, self.lost = -1, 0, []
        start, end = self._bounds(envelope)
        if self.waits is not None:
            self.waits = min(start, self.waits[0]), max(end, self.waits[1])
        self.waiting[sequence] = message_id, envelope, received_us
        self.waiting_samples += len(envelope.samples)
        self._drain(out)
        return Fate.WAITING

    def flush(self, out: Taken) -> None:
        """Wait no longer for what is missing."""
        self._drain(out, patient=False)

    def close(self, out: Taken) -> None:
        """Nothing comes for a while: everything that is left comes out."""
        self.flush(out)
        self._end_segment(out, goes_on=False)

    # The sequence

    def _known(self, envelope: Envelope) -> Fate | None:
        """The fate of a message that has been here, or was given up; None: it is neither."""
        sequence = envelope.sequence
        if sequence in self.waiting:
            inside = self.low <= envelope.t0_us < self.high
            return Fate.DUPLICATE if inside else None
        was_lost = self._was_lost(sequence)
        if not was_lost and (self.next < 0 or sequence >= self.next):
            return None
        early = sequence < self.unsure and envelope.t0_us < self.low  # from before the first message that came
        if not early and not self.low <= envelope.t0_us < self.high:
            return None
        return Fate.LATE if was_lost or sequence < self.unsure else Fate.DUPLICATE

    def _is_another_run(self, envelope: Envelope) -> bool:
        """Whether the device counts from the beginning again: a sequence that was used, at a time outside of these."""
        sequence = envelope.sequence
        used = sequence in self.waiting or self._was_lost(sequence) or sequence < self.next
        return used and not self.low <= envelope.t0_us < self.high

    def _was_lost(self, sequence: int) -> bool:
        return any(first <= sequence <= last for first, last in self.lost)

    def _bounds(self, envelope: Envelope) -> tuple[int, int]:
        start, end = _span(envelope)
        if end > self.high:
            self.high = end
        if not self.low or start < self.low:
            self.low = start
        return start, end

    def _drain(self, out: Taken, *, patient: bool = True) -> None:
        """Take the messages that wait, as far as their turn has come."""
        waiting = self.waiting
        while waiting:
            entry = waiting.pop(self.next, None)
            if entry is None:
                if not self._turn(out, patient=patient):
                    return
                continue
            self.waiting_samples -= len(entry[1].samples)
            self.waits = None
            self._consume(*entry, out)

    def _turn(self, out: Taken, *, patient: bool) -> bool:
        """Whose turn it is if the next message is not there; False: it is waited for."""
        waiting = self.waiting
        for first, last in self.lost:  # after a restart
            if first <= self.next <= last:
                self.next = last + 1
                return True
        if self.next < 0 and 0 in waiting:
            self.next = 0
            return True
        if patient and self.waiting_samples <= self.rules.most_waiting and not self._waited_long():
            return False
        lowest = min(waiting)
        if self.next < 0:
            self.unsure = lowest
        else:
            self.lost.append((self.next, lowest - 1))
            out.missing[self.key] = out.missing.get(self.key, 0) + lowest - self.next
            if len(self.lost) > _MOST_LOST:
                self.unsure = self.lost.pop(0)[1] + 1
        self.next = lowest
        return True

    def _waited_long(self) -> bool:
        """Whether the device's own time has gone on by `stream.lateness_s` since the first message that waits."""
        if self.waits is None:
            spans = [_span(envelope) for _, envelope, _ in self.waiting.values()]
            self.waits = min(start for start, _ in spans), max(end for _, end in spans)
        start, end = self.waits
        return end - start >= self.rules.lateness_us

    # Sessions and segments

    def _consume(self, message_id: int, envelope: Envelope, received_us: int, out: Taken) -> None:
        """Take the message whose turn it is."""
        segment, t0 = self.segment, envelope.t0_us
        fresh = segment is not None and not segment.clock.number
        if not fresh:
            last = self.last
            if t0 < last - self.rules.max_gap_us:  # the clock was set back
                self._end_segment(out, goes_on=False)
                self._begin_run()
                segment = None
            elif segment is not None and (t0 - last > self.rules.max_gap_us or envelope.placement != segment.placement):
                self._end_segment(out, goes_on=True)
                segment = None
        if segment is None:
            day = self.day, self.day_count
            segment = Segment(
                self.key, self.session, self.number, last=self.last, day=day, envelope=envelope, rules=self.rules
            )
            self.segment = segment
        segment.add(message_id, envelope, received_us, out)
        self.last = segment.clock.last
        self.next = envelope.sequence + 1

    def _end_segment(self, out: Taken, *, goes_on: bool) -> None:
        segment = self.segment
        if segment is None:
            return
        segment.close(out, goes_on=goes_on)
        self.number = segment.number + 1
        self.day, self.day_count = segment.date.toordinal(), segment.day_count
        self.segment = None

    def _begin_run(self) -> None:
        """Begin another session in the lake: the clock was set back, or the device counts from the beginning again."""
        self.run += 1
        self.session = lake_session(self.key, self.run)
        self.last = self.number = self.day = self.day_count = 0

    def samples_held(self) -> int:
        """Samples in memory."""
        return self.waiting_samples + (0 if self.segment is None else self.segment.samples_held())

    # For a restart

    def track(self) -> bytes:
        """The state before the first message that is not settled."""
        segment, following, last = self.segment, self.next, self.last
        if segment is not None and segment.messages:
            following, last = segment.messages[0].sequence, segment.messages[0].before.last
        return packed(
            StreamTrack(
                self.rules.version,
                self.run,
                following,
                self.unsure,
                tuple(self.lost),
                self.low,
                self.high,
                last,
                self.number,
                self.day,
                self.day_count,
                None if segment is None else segment.track(),
            )
        )

    @classmethod
    def restored(cls, key: StreamKey, stored: bytes, rules: Rules) -> Stream:
        """The stream that a track describes; with other settings than then, its next message begins a session."""
        track = unpacked(stored)
        stream = cls(key, rules)
        stream.run, stream.next, stream.unsure = track.run, track.next, track.unsure
        stream.session = lake_session(key, track.run)
        stream.lost = list(track.lost)
        stream.low, stream.high = track.low, track.high
        stream.last, stream.number = track.last, track.number
        stream.day, stream.day_count = track.day, track.day_count
        if track.version != rules.version:
            stream._begin_run()
        elif track.segment is not None:
            stream.segment = Segment.restored(key, stream.session, track.segment, rules)
        return stream


def _span(envelope: Envelope) -> tuple[int, int]:
    """The stamps of a message's first sample, and of the one after its last, µs."""
    return envelope.t0_us, envelope.t0_us + round(len(envelope.samples) * 1e6 / envelope.rate_hz)


def lake_session(key: StreamKey, run: int) -> str:
    """The session of a stream in the lake, before names that two streams of a day share are told apart.

    Args:
        key: the stream.
        run: from 1; a stream's clock was set back, or its sequence began again, before each further run.
    """
    if run == 1:
        return key.session
    name = f"{key.session}-{run}"
    if re.fullmatch(SESSION, name):
        return name
    digest = hashlib.blake2s(key.session.encode(), digest_size=5).hexdigest()
    return f"{key.session[:8]}-{digest}-{run}"
