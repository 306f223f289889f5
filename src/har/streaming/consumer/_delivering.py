"""Deliver to the hot store: states and answers at once, signals of subjects that a page shows, the ledger now and then.

While the hot store is away, the stream goes on; what it misses waits in the outbox and is delivered when it is back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from har.errors import StateError
from har.streaming.consumer._worker import Settled, Worker
from har.streaming.envelope import StreamKey
from har.streaming.ledger import read_ledger
from har.streaming.queue import Queue
from har.streaming.state import Answer, DeviceHealth, HotStore, Signal, SubjectState
from har.streaming.store import Sequences, Stored, predictions_for

_LOG = logging.getLogger("har.stream")
_WATCHED_S = 1.0
_SIGNAL_S = 0.25
_SHOWN_S = 30.0
_SHOWN = 1500
"""Samples of a signal on a screen."""
_HEALTH_S = 5.0
_HEALTH_PER_S = 300
_LEDGER_S = 2.0
_LEDGER_SHARE = 0.01
"""Of the time is spent on the ledger at most."""
_DEVICES = 8
_MOST = 2000
_LONGEST_RETRY_S = 30.0


@dataclass
class _Signal:
    """The last seconds of a stream that a page shows."""

    parts: deque[tuple[NDArray[np.int64], NDArray[np.float32]]] = field(default_factory=deque)
    changed: bool = False


class Hot:
    """The hot store as the consumer uses it.

    Args:
        store: where to deliver to.
        queue: the ledger is read from its folder.
    """

    def __init__(self, store: HotStore, queue: Queue) -> None:
        self._store = store
        self._queue = queue
        self._reached: dict[int, int] = {}
        self._new: list[tuple[Worker, Settled]] = []
        self._behind: set[int] = set()
        self._health: dict[str, tuple[float, Sequence[DeviceHealth]]] = {}
        self._signals: dict[str, dict[StreamKey, _Signal]] = {}
        self._watched_at = self._signal_at = self._ledger_at = 0.0
        self._retry_at = 0.0
        self._failed = 0

    def reached(self, number: int) -> int:
        """Id of the last prediction of a shard that the hot store has; 0: as the store says."""
        return self._reached.get(number, 0)

    def add(self, worker: Worker, settled: Settled) -> None:
        """Deliver what was settled at the next step."""
        if settled.answers:
            self._new.append((worker, settled))

    def saw(self, stored: Sequence[Stored]) -> None:
        """Keep the last seconds of subjects that a page shows."""
        if not self._signals:
            return
        for one in stored:
            streams = self._signals.get(one.envelope.key.subject)
            if streams is not None:
                _keep(streams.setdefault(one.envelope.key, _Signal()), one)

    def forget(self, number: int) -> None:
        """Another consumer works on this shard from now on."""
        self._reached.pop(number, None)
        self._behind.discard(number)

    def step(self, workers: Mapping[int, Worker]) -> None:
        """Deliver what is due."""
        now = time.monotonic()
        new, self._new = self._new, []
        if now < self._retry_at:
            self._behind.update(worker.number for worker, _ in new)
            return
        try:
            self._deliver(new, workers)
            self._show(now)
            if now >= self._ledger_at and 0 in workers:
                counts = read_ledger(self._queue.folder).as_dict()
                self._store.write_ledger({**counts, "reported_us": time.time_ns() // 1000})
                took = time.monotonic() - now
                self._ledger_at = now + max(_LEDGER_S, took / _LEDGER_SHARE)
        except StateError as error:
            self._behind.update(worker.number for worker, _ in new)
            if not self._failed:
                _LOG.error("the stream goes on without the hot store: %s", error)
            self._failed += 1
            self._retry_at = now + min(_LONGEST_RETRY_S, 2.0 ** min(self._failed, 5) / 2)
            return
        if self._failed:
            _LOG.warning("the hot store is back, and has all answers")
            self._failed = 0

    def _deliver(self, new: Sequence[tuple[Worker, Settled]], workers: Mapping[int, Worker]) -> None:
        states: dict[str, SubjectState] = {}
        answers: dict[str, list[Answer]] = {}
        reached: dict[int, int] = {}
        for worker, settled in new:
            if worker.number in self._behind:
                continue
            for subject, own in settled.answers.items():
                answers.setdefault(subject, []).extend(own)
                states[subject] = self._state(worker, subject)
            reached[worker.number] = settled.last_prediction
        if states:
            self._store.write(list(states.values()), answers)
            self._reached.update(reached)
        for number in list(self._behind):
            if number in workers:
                self._catch_up(workers[number])
            self._behind.discard(number)

    def _catch_up(self, worker: Worker) -> None:
        """Deliver what the outbox has for the hot store."""
        while True:
            rows, last = predictions_for(worker.shard, "hot", _MOST, after=self._reached.get(worker.number, 0))
            answers: dict[str, list[Answer]] = {}
            for row in rows:
                answers.setdefault(row.subject, []).append(row.answer())
            if answers:
                self._store.write([self._state(worker, subject) for subject in answers], answers)
                self._reached[worker.number] = last
            if len(rows) < _MOST:
                return

    def begin(self, worker: Worker) -> None:
        """Deliver what the shard's last owner did not."""
        self._behind.add(worker.number)

    def _state(self, worker: Worker, subject: str) -> SubjectState:
        day = worker.day(subject)
        answer = day.newest()
        assert answer is not None  # noqa: S101  the subject has one
        return SubjectState(
            subject, answer, day.seen_us, day.date, day.minutes(), day.windows, self._devices(worker, subject)
        )

    def _devices(self, worker: Worker, subject: str) -> Sequence[DeviceHealth]:
        now = time.monotonic()
        known = self._health.get(subject)
        # Of thousands of subjects, so many a second.
        if known is not None and now - known[0] < max(_HEALTH_S, len(self._health) / _HEALTH_PER_S):
            return known[1]
        found: dict[str, DeviceHealth] = {}
        for device, placement, seen_us, skew_us, rate_hz, sequences, late, duplicate, rejected in worker.shard.devices(
            subject, _DEVICES
        ):
            if device and device not in found:  # the newest of its sessions
                missing = Sequences.loads(sequences).missing
                found[device] = DeviceHealth(
                    device, placement, seen_us, skew_us / 1e6, rate_hz, missing, late, duplicate, rejected
                )
        if len(self._health) > 50_000:
            self._health.clear()
        self._health[subject] = now, tuple(found.values())
        return tuple(found.values())

    def _show(self, now: float) -> None:
        """Signals for pages that show a subject."""
        if now - self._watched_at >= _WATCHED_S:
            watched = self._store.watched()
            self._signals = {name: self._signals.get(name, {}) for name in watched}
            self._watched_at = now
        if now - self._signal_at < _SIGNAL_S:
            return
        self._signal_at = now
        for name, streams in self._signals.items():
            fresh = [stream for stream in streams.values() if stream.changed]
            if fresh:
                newest = max(fresh, key=lambda stream: int(stream.parts[-1][0][-1]))
                self._store.write_signal(name, _thinned(newest))
                for stream in fresh:
                    stream.changed = False


def _keep(signal: _Signal, one: Stored) -> None:
    envelope = one.envelope
    if not len(envelope.samples):
        return
    steps = np.arange(len(envelope.samples)) * (1e6 / envelope.rate_hz)
    signal.parts.append((envelope.t0_us + steps.astype(np.int64), envelope.samples))
    first = signal.parts[-1][0][-1] - round(_SHOWN_S * 1e6)
    while signal.parts and signal.parts[0][0][-1] < first:
        signal.parts.popleft()
    signal.changed = True


def _thinned(stream: _Signal) -> Signal:
    times = np.concatenate([part[0] for part in stream.parts])
    values = np.concatenate([part[1] for part in stream.parts])
    step = max(1, len(times) // _SHOWN)
    return Signal(times[::step].copy(), values[::step].copy())
