"""One shard at work: its messages become windows, and what is answered is settled in its store."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from har.plausibility import NO_SIGNAL
from har.schema import STREAMED
from har.settings import Settings
from har.streaming.consumer._answering import Answered
from har.streaming.consumer._day import Day
from har.streaming.consumer._names import Names
from har.streaming.consumer._smoothing import Smoothing
from har.streaming.envelope import StreamKey
from har.streaming.queue import Quarantine
from har.streaming.state import Answer
from har.streaming.store import PredictionRow, Refused, Settlement, Shard, Stored, settle
from har.streaming.windows import Assembly, Fate, Taken

_DAYS_KEPT = 20_000


@dataclass(slots=True)
class Pending:
    """What is taken from the windows in progress and not settled yet."""

    taken: Taken = field(default_factory=Taken)
    late: list[Stored] = field(default_factory=list)
    duplicate: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    ended: dict[StreamKey, int] = field(default_factory=dict)
    """Streams whose segment ended for silence, and how many windows were taken by then."""
    since: float = 0.0

    def __bool__(self) -> bool:
        taken = self.taken
        found = (taken.windows, taken.stretches, taken.settled, taken.tracks, self.late, self.duplicate, self.rejected)
        return any(found) or bool(self.ended)


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
        self._names = Names(shard)
        self._requests: dict[tuple[StreamKey, str], str] = {}
        self._settings = settings
        self._idle_us = round(settings.stream.idle_s * 1e6)
        self._length_us = round(settings.length * 1e6 / settings.sensors.rate_hz)
        self._left: set[StreamKey] = set()
        self._smoothing = self._restored()
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
        windows = self.pending.taken.windows
        if self._assembly.close_idle(self._clock()):
            # Nothing else has changed since the last message was read.
            for key in self._take(now).tracks:
                self.pending.ended[key] = len(windows)
        if self._left and self._clock() - self._restored_us > self._idle_us:
            # Nothing came of these streams since a restart.
            self.pending.ended.update((key, len(windows)) for key in self._left)
            self.pending.since = self.pending.since or now
            self._left = set()

    def _take(self, now: float) -> Taken:
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
        return new

    def settle(self, answered: Answered | None, first: int, *, hot: int) -> Settled:
        """Store what is pending, with the answers to its windows.

        Args:
            answered: None where no window is pending.
            first: place of the first window among the answers.
            hot: id of the last prediction that the hot store has, 0 if the store knows.

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
            short=taken.short,
            hot=hot,
        )
        found: dict[str, list[Answer]] = {}
        try:
            if answered is not None:
                self._smoothing.use(answered.version, answered.metadata)
                rows = self._rows(answered, first, done)
                for row in self._smoothed(rows, answered, first) if self._smoothing.is_on else rows:
                    done.predictions.append(row)
                    found.setdefault(row.subject, []).append(row.answer())
            for stretch in taken.stretches:
                name = self._names.of(stretch.date.isoformat(), stretch.key, stretch.session, done.names)
                done.stretches.append((name, stretch))
            self._end(done, found)
            done.people = {subject: self.day(subject).dumps() for subject in found}
            last = settle(self.shard, done)
        except BaseException:
            self._days.clear()
            self._names.forget()
            self._smoothing = self._restored()
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

    def _rows(self, answered: Answered, first: int, done: Settlement) -> list[PredictionRow]:
        """The predictions of the pending windows, which also count for their subjects' days."""
        windows = self.pending.taken.windows
        part = slice(first, first + len(windows))
        answers = answered.answers
        unknown = [None] * len(windows) if answers.unknown is None else answers.unknown[part].tolist()
        names = [*answered.metadata.activities, NO_SIGNAL]
        rows = []
        for window, index, confidence, abstained, odd in zip(
            windows,
            answers.best[part].tolist(),
            answers.confidence[part].tolist(),
            answers.abstained[part].tolist(),
            unknown,
            strict=True,
        ):
            key, start_us = window.key, window.start_us
            date, request = window.date.isoformat(), self._request(key, window.session)
            end_us = start_us + self._length_us
            row = PredictionRow(
                date,
                key.subject,
                self._names.of(date, key, window.session, done.names),
                request,
                start_us,
                end_us,
                names[index],
                confidence,
                abstained,
                answered.version,
                unknown=odd,
            )
            rows.append(row)
            day = self.day(key.subject)
            day.add(date, request, row.answer())
            day.seen_us = max(day.seen_us, window.last_received_us)
            done.windows[key] = done.windows.get(key, 0) + 1
        return rows

    def _smoothed(self, rows: Sequence[PredictionRow], answered: Answered, first: int) -> list[PredictionRow]:
        """The rows to store now, smoothed where that is known, and those of earlier windows for which it is by now."""
        windows, ended = self.pending.taken.windows, self.pending.ended
        places: dict[StreamKey, list[int]] = {}
        for place, window in enumerate(windows):
            places.setdefault(window.key, []).append(place)
        found: list[PredictionRow] = []
        for key, own in places.items():
            cut = bisect_left(own, ended.pop(key)) if key in ended else 0
            for part in (own[:cut], own[cut:]):
                if part:
                    answers = answered.answers.rows(np.array(part) + first)
                    chosen = [windows[place] for place in part]
                    found += self._smoothing.add(key, chosen, [rows[place] for place in part], answers)
                if cut and part is own[:cut]:
                    found += self._smoothing.end([key])
        return found

    def _end(self, done: Settlement, found: dict[str, list[Answer]]) -> None:
        """End the segments of silent streams, and note what waits of the others."""
        if not self._smoothing.is_on:
            return
        for row in self._smoothing.end(self.pending.ended):
            done.predictions.append(row)
            found.setdefault(row.subject, []).append(row.answer())
        keys = {window.key for window in self.pending.taken.windows} | set(self.pending.ended)
        done.smoothing = {key: self._smoothing.state(key) for key in keys}

    def _restored(self) -> Smoothing:
        smoothing = Smoothing(self.shard, self._settings)
        self._left = set(smoothing.streams)
        return smoothing

    def _request(self, key: StreamKey, session: str) -> str:
        known = self._requests.get((key, session))
        if known is None:
            if len(self._requests) >= _DAYS_KEPT:
                self._requests.clear()
            known = self._requests[key, session] = request_id(key, session)
        return known


def request_id(key: StreamKey, session: str) -> str:
    """The request id of a session's predictions: the same for the same device and session, after any restart."""
    digest = hashlib.sha256("\0".join((*key, session)).encode()).hexdigest()
    return f"{STREAMED}{digest[:24]}"


def _late(one: Stored) -> Refused:
    envelope = one.envelope
    return Refused(
        f"late: the windows of its time were answered before it came; float32 {envelope.samples.shape}, first sample "
        f"at {envelope.t0_us} µs, {envelope.rate_hz:g} Hz",
        envelope.samples.tobytes(),
        envelope.key,
        envelope.sequence,
    )
