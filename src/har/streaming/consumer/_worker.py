"""One shard at work: its messages become windows, and what is answered is settled in its store."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from har.settings import Settings
from har.streaming.consumer._calendar import Calendar
from har.streaming.consumer._day import Day
from har.streaming.consumer._names import Names
from har.streaming.envelope import StreamKey
from har.streaming.queue import Quarantine
from har.streaming.state import Answer
from har.streaming.store import PredictionRow, Refused, Settlement, Shard, Stored, settle
from har.streaming.windows import Assembly, Fate, Taken, Window

_DAYS_KEPT = 20_000


@dataclass(slots=True)
class Pending:
    """What is taken from the windows in progress and not settled yet."""

    taken: Taken = field(default_factory=Taken)
    late: list[Stored] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    since: float = 0.0

    def __bool__(self) -> bool:
        taken = self.taken
        return bool(taken.windows or taken.stretches or taken.settled or taken.tracks or self.late or self.rejected)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement brought: answers by subject, and the id of the last prediction in the outbox."""

    answers: dict[str, list[Answer]]
    days: dict[str, Day]
    last_prediction: int
    windows: int
    messages: int
    late: int


class Worker:
    """Works on one shard, whose lock the caller holds.

    Windows in progress are those of the shard's last owner: the states of its streams and the messages that wait are
    read first.

    Args:
        number: the shard's.
        shard: its store.
        settings: of the project.
        quarantine: for late messages.
        clock: wall clock, µs since 1970.

    Raises:
        StorageError: the store cannot be read.
    """

    def __init__(
        self, number: int, shard: Shard, settings: Settings, quarantine: Quarantine, clock: Callable[[], int]
    ) -> None:
        self.number = number
        self.shard = shard
        self.cursor = 0
        self.pending = Pending()
        self._settings = settings
        self._quarantine = quarantine
        self._clock = clock
        self._calendar = Calendar(settings.project.timezone)
        self._names = Names(shard)
        self._days: dict[str, Day] = {}
        self._assembly = Assembly(settings)
        self._assembly.restore(shard.tracks())
        self._restored_us = clock()
        self._length_us = round(settings.length * 1e6 / settings.sensors.rate_hz)

    def read(self, most: int, now: float) -> list[Stored]:
        """Offer the next messages of the store to the windows in progress; returns them.

        Raises:
            StorageError: the store cannot be read.
        """
        stored, odd = self.shard.read(self.cursor, most, len(self._settings.sensors.channels))
        for one in stored:
            # Of messages that waited while nobody worked, none is idle for that.
            received_us = max(one.received_us, self._restored_us)
            if self._assembly.offer(one.id, one.envelope, received_us) is Fate.LATE:
                self.pending.late.append(one)
        self.pending.rejected += odd
        if stored or odd:
            self.cursor = max([*odd, *(one.id for one in stored[-1:])])
            self._take(now)
        return stored

    def close_idle(self, now: float) -> None:
        """Close segments of devices that are silent; only when all messages of the store are read."""
        self._assembly.close_idle(self._clock())
        self._take(now)

    def _take(self, now: float) -> None:
        new = self._assembly.take()
        taken = self.pending.taken
        taken.windows.extend(new.windows)
        taken.stretches.extend(new.stretches)
        taken.settled.extend(new.settled)
        taken.tracks.update(new.tracks)
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
            rejected=pending.rejected,
            tracks=taken.tracks,
            hot=hot,
        )
        found: dict[str, list[Answer]] = {}
        try:
            for window, answer in zip(taken.windows, answers, strict=True):
                self._add(done, window, answer)
                found.setdefault(window.key.subject, []).append(answer)
            for stretch in taken.stretches:
                for date, first, end in self._by_date(stretch.times):
                    part = stretch
                    if end - first < len(stretch.times):
                        part = dataclasses.replace(
                            stretch,
                            times=stretch.times[first:end],
                            values=stretch.values[first:end],
                            flags=stretch.flags[first:end],
                        )
                    name, _ = self._names.of(date, stretch.key, stretch.session, done.names)
                    done.stretches.append((date, name, part))
            days = {subject: self._days[subject] for subject in found}
            done.people = {subject: day.dumps() for subject, day in days.items()}
            settings = self._settings
            last = settle(self.shard, done, length=settings.length, stride=settings.stride)
        except BaseException:
            self._names.forget()
            self._days.clear()
            raise
        if pending.late:
            self._quarantine.keep("late", [_late(one) for one in pending.late])
        self.pending = Pending()
        if len(self._days) > _DAYS_KEPT:
            for old in list(itertools.islice(self._days, _DAYS_KEPT // 2)):
                del self._days[old]
        return Settled(found, days, last, len(taken.windows), len(taken.settled), len(pending.late))

    def day(self, subject: str) -> Day:
        """A subject's day so far."""
        day = self._days.get(subject)
        if day is None:
            day = self._days[subject] = Day.loads(self.shard.person(subject))
        return day

    def _add(self, done: Settlement, window: Window, answer: Answer) -> None:
        key = window.key
        date = self._calendar.date(window.start_us)
        name, request = self._names.of(date, key, window.session, done.names)
        done.predictions.append(
            PredictionRow(
                date,
                key.subject,
                name,
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
        done.windows.setdefault(key, []).append((window.session, window.segment))
        day = self.day(key.subject)
        day.add(date, request, answer)
        day.seen_us = max(day.seen_us, window.last_received_us)

    def _by_date(self, times: np.ndarray) -> list[tuple[str, int, int]]:
        """Runs of samples of one date: the date, its first row and the row after its last."""
        if not len(times):
            return []
        first, last = self._calendar.date(int(times[0])), self._calendar.date(int(times[-1]))
        if first == last:
            return [(first, 0, len(times))]
        dates = [self._calendar.date(int(time)) for time in times]
        found = []
        row = 0
        for date, group in itertools.groupby(dates):
            count = sum(1 for _ in group)
            found.append((date, row, row + count))
            row += count
        return found

    def streams(self) -> list[StreamKey]:
        """Streams in progress."""
        return list(self.shard.tracks())


def _late(one: Stored) -> Refused:
    envelope = one.envelope
    return Refused(
        f"late: the windows of its time were answered before it came; float32 {envelope.samples.shape}, first sample "
        f"at {envelope.t0_us} µs, {envelope.rate_hz:g} Hz",
        envelope.samples.tobytes(),
        envelope.key,
        envelope.sequence,
    )
