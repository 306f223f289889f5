"""One shard at work: its messages become windows, and what is answered is settled in its store."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from har.settings import Settings
from har.streaming.consumer._day import Day
from har.streaming.envelope import StreamKey
from har.streaming.queue import Quarantine
from har.streaming.state import Answer
from har.streaming.store import PredictionRow, Refused, Settlement, Shard, Stored, settle
from har.streaming.windows import Assembly, Fate, Taken, Window

REQUEST = "stream-"
"""How the `request_id` of a prediction that was made live begins."""

_DAYS_KEPT = 20_000


@dataclass(slots=True)
class Pending:
    """What is taken from the windows in progress and not settled yet."""

    taken: Taken = field(default_factory=Taken)
    late: list[Stored] = field(default_factory=list)
    duplicate: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    since: float = 0.0

    def __bool__(self) -> bool:
        taken = self.taken
        found = (taken.windows, taken.stretches, taken.settled, taken.tracks, self.late, self.duplicate, self.rejected)
        return any(found)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement brought: answers by subject, and the id of the last prediction in the outbox."""

    answers: dict[str, list[Answer]]
    last_prediction: int
    windows: int
    messages: int
    late: int


class _Tracks:
    """The stored states of a shard's streams, read when they are asked for."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    def get(self, key: StreamKey, /) -> bytes | None:
        return self._shard.track(key)


class Worker:
    """Works on one shard, whose lock the caller holds.

    Windows in progress are those of the shard's last owner: the states of its streams and the messages that wait are
    read again.

    Args:
        number: the shard's.
        shard: its store.
        settings: of the project.
        quarantine: for late messages.
        clock: wall clock, µs since 1970.
    """

    def __init__(
        self, number: int, shard: Shard, settings: Settings, quarantine: Quarantine, clock: Callable[[], int]
    ) -> None:
        self.number = number
        self.shard = shard
        self.pending = Pending()
        self._cursor = 0
        self._channels = len(settings.sensors.channels)
        self._quarantine = quarantine
        self._clock = clock
        self._days: dict[str, Day] = {}
        self._assembly = Assembly(settings)
        self._assembly.restore(_Tracks(shard))
        self._restored_us = clock()

    @property
    def streams(self) -> int:
        """Streams with windows in progress."""
        return self._assembly.streams

    def read(self, most: int, now: float) -> list[Stored]:
        """Offer the next messages of the store to the windows in progress; returns them.

        Raises:
            StorageError: the store cannot be read.
        """
        stored, odd = self.shard.read(self._cursor, most, self._channels)
        pending = self.pending
        for one in stored:
            # Of messages that waited while nobody worked, none is idle for that.
            received_us = max(one.received_us, self._restored_us)
            fate = self._assembly.offer(one.id, one.envelope, received_us)
            if fate is Fate.LATE:
                pending.late.append(one)
            elif fate is Fate.DUPLICATE:
                pending.duplicate.append(one.id)
        pending.rejected += odd
        if stored or odd:
            self._cursor = max([*odd, *(one.id for one in stored[-1:])])
            self._take(now)
        return stored

    def close_idle(self, now: float) -> None:
        """Close segments of devices that are silent; only when all messages of the store are read."""
        if self._assembly.close_idle(self._clock()):
            self._take(now)

    def _take(self, now: float) -> None:
        new = self._assembly.take()
        taken = self.pending.taken
        taken.windows.extend(new.windows)
        taken.stretches.extend(new.stretches)
        taken.settled.extend(new.settled)
        taken.tracks.update(new.tracks)
        for key, count in new.short.items():
            taken.short[key] = taken.short.get(key, 0) + count
        if self.pending and not self.pending.since:
            self.pending.since = now

    def settle(self, answers: Sequence[Answer], *, hot: int) -> Settled:
        """Store what is pending, with the answers to its windows in their order.

        Raises:
            StorageError: the store cannot be written; all is pending still.
        """
        pending, taken = self.pending, self.pending.taken
        done = Settlement(
            scored=taken.settled,
            late=[one.id for one in pending.late],
            duplicate=pending.duplicate,
            rejected=pending.rejected,
            tracks=taken.tracks,
            stretches=taken.stretches,
            windows=Counter(window.key for window in taken.windows),
            short=taken.short,
            hot=hot,
        )
        found: dict[str, list[Answer]] = {}
        try:
            for window, answer in zip(taken.windows, answers, strict=True):
                self._add(done, window, answer)
                found.setdefault(window.key.subject, []).append(answer)
            done.people = {subject: self._days[subject].dumps() for subject in found}
            last = settle(self.shard, done)
        except BaseException:
            self._days.clear()
            raise
        if pending.late:
            self._quarantine.keep("late", [_late(one) for one in pending.late])
        self.pending = Pending()
        if len(self._days) > _DAYS_KEPT:
            for old in list(itertools.islice(self._days, _DAYS_KEPT // 2)):
                del self._days[old]
        return Settled(found, last, len(taken.windows), len(taken.settled), len(pending.late))

    def day(self, subject: str) -> Day:
        """A subject's day so far."""
        day = self._days.get(subject)
        if day is None:
            day = self._days[subject] = Day.loads(self.shard.person(subject))
        return day

    def _add(self, done: Settlement, window: Window, answer: Answer) -> None:
        date, request = window.date.isoformat(), request_id(window.key, window.session)
        done.predictions.append(
            PredictionRow(
                date,
                window.key.subject,
                window.session,
                request,
                answer.start_us,
                answer.end_us,
                answer.activity,
                answer.confidence,
                answer.abstained,
                answer.model_version,
                answer.smoothed,
                answer.unknown,
            )
        )
        day = self.day(window.key.subject)
        day.add(date, request, answer)
        day.seen_us = max(day.seen_us, window.last_received_us)


def request_id(key: StreamKey, session: str) -> str:
    """The request id of a session's predictions: the same for the same device and session, after any restart."""
    digest = hashlib.sha256("\0".join((*key, session)).encode()).hexdigest()
    return f"{REQUEST}{digest[:24]}"


def _late(one: Stored) -> Refused:
    envelope = one.envelope
    return Refused(
        f"late: the windows of its time were answered before it came; float32 {envelope.samples.shape}, first sample "
        f"at {envelope.t0_us} µs, {envelope.rate_hz:g} Hz",
        envelope.samples.tobytes(),
        envelope.key,
        envelope.sequence,
    )
