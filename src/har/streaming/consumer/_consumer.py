"""The loop of `har stream run`: sources → store → windows → model → store → hot store, lake and history."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from har.errors import HarError
from har.settings import Settings
from har.streaming.consumer._answering import Answered, Answerer
from har.streaming.consumer._delivering import Hot
from har.streaming.consumer._ownership import Ownership
from har.streaming.consumer._receiving import Receiver
from har.streaming.consumer._worker import Worker
from har.streaming.queue import Queue
from har.streaming.sources import Source
from har.streaming.store import Stored

_T = TypeVar("_T")
_LOG = logging.getLogger("har.stream")
_LOOK_S = 1.0
_WAIT_S = 0.02
_READ = 2000
"""Messages of a shard that are read at once."""
_TIDY_S = 1.0
"""What is complete without a window, such as samples of a short segment, is settled after so long."""
_HELD_BATCHES = 32
"""With so many batches of unanswered windows, no further messages are read."""


@dataclass
class Work:
    """What a consumer did so far; `seconds` is per part of the loop."""

    messages: int = 0
    windows: int = 0
    late: int = 0
    latency_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    """From the receipt of a window's last message to its answer's settlement, of the last windows."""
    seconds: dict[str, float] = field(default_factory=dict)


class Consumer:
    """Receives messages for all shards, and works on its share of them.

    Args:
        settings: of the project.
        queue: the store.
        sources: what to poll; may be none, where only the online service puts messages.
        answerer: the model.
        hot: delivers to the hot store.
        handed_over: called with the number of a shard before another consumer may take it.
        saw: called with the messages that were read, to look at new devices.
    """

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        sources: Sequence[Source],
        answerer: Answerer,
        hot: Hot,
        *,
        handed_over: Callable[[int], None] = lambda number: None,
        saw: Callable[[Sequence[Stored]], None] = lambda stored: None,
    ) -> None:
        self.work = Work()
        self._settings = settings
        self._queue = queue
        self._receivers = [Receiver(source, queue, settings) for source in sources]
        self._answerer = answerer
        self._hot = hot
        self._handed_over = handed_over
        self._saw = saw
        self._ownership = Ownership(queue.folder, len(queue.shards))
        self._workers: dict[int, Worker] = {}
        self._looked = -_LOOK_S
        self._retry_at = 0.0
        self._failed = 0

    @property
    def waits(self) -> bool:
        """Whether the store or the model is away, and is tried again in a moment."""
        return self._failed > 0

    @property
    def workers(self) -> dict[int, Worker]:
        """The shards that it works on, by number."""
        return self._workers

    def run(self, stop: threading.Event, *, before_release: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; then settle what is answered. What waits stays in the store for the next one.

        Args:
            stop: ends the work.
            before_release: called at the end, while the shards are still this consumer's.
        """
        try:
            while not stop.is_set():
                busy = self.step()
                if not busy:
                    stop.wait(_WAIT_S)
        finally:
            self.close(before_release)

    def step(self) -> bool:
        """One turn of the loop; whether there was something to do."""
        now = time.monotonic()
        try:
            if now - self._looked >= _LOOK_S:
                self.look()
                self._looked = now
            waiting = self._queue.waiting()
            busy = self._timed("receive", lambda: self._receive(waiting))
            if now >= self._retry_at:
                busy = self._timed("read", lambda: self._read(now)) or busy
                busy = self._answer(now) or busy
                self._failed = 0
        except HarError as error:
            self._fail(error)
            return False
        self._timed("hot", lambda: self._hot.step(self._workers))
        return busy

    def answer_all(self) -> None:
        """Answer and settle what is complete, without waiting for more windows.

        Raises:
            HarError: the store, or the service that answers, cannot be reached.
        """
        self._answer(time.monotonic(), all_of_it=True)
        self._hot.step(self._workers)

    def close(self, before_release: Callable[[], None] = lambda: None) -> None:
        """Settle what is answered, and release the shards."""
        try:
            self.answer_all()
        except HarError as error:
            _LOG.error("what was not settled is worked on again after the next start: %s", error)
        for receiver in self._receivers:
            receiver.close()
        before_release()
        for number in list(self._workers):
            self._give_up(number)
        self._ownership.close()

    def look(self) -> None:
        """Take over free shards, and hand over those that another consumer should have."""
        for number in self._ownership.surplus():
            _LOG.info("shard %d goes to another consumer", number)
            self._give_up(number)
        for number in self._ownership.take():
            shard = self._queue.shards[number]
            clock = self._queue.now_us
            worker = Worker(number, shard, self._settings, self._queue.quarantine, clock)
            self._workers[number] = worker
            self._hot.begin(worker)
            _LOG.info("shard %d is ours: %d messages wait", number, shard.waiting)

    def _give_up(self, number: int) -> None:
        self._handed_over(number)
        self._workers.pop(number, None)
        self._hot.forget(number)
        self._ownership.give_up(number)

    def _receive(self, waiting: int) -> bool:
        took = [receiver.step(waiting) for receiver in self._receivers]
        return any(took)

    def _read(self, now: float) -> bool:
        """Read what the store has for us; whether there was something."""
        most = _HELD_BATCHES * self._settings.stream.batch_windows
        if sum(len(worker.pending.taken.windows) for worker in self._workers.values()) > most:
            return False
        busy = False
        for worker in self._workers.values():
            stored = worker.read(_READ, now)
            busy = busy or bool(stored)
            self._hot.saw(stored)
            self._saw(stored)
            if not stored and not any(receiver.is_behind for receiver in self._receivers):
                worker.close_idle(now)
        return busy

    def _answer(self, now: float, *, all_of_it: bool = False) -> bool:
        """Answer and settle, if there are enough windows or the oldest has waited for long enough."""
        stream = self._settings.stream
        pending = [worker for worker in self._workers.values() if worker.pending]
        count = sum(len(worker.pending.taken.windows) for worker in pending)
        if not pending:
            return False
        oldest = now - min(worker.pending.since for worker in pending)
        due = stream.deadline_ms / 1000 if count else _TIDY_S
        if not all_of_it and count < stream.batch_windows and oldest < due:
            return False
        self._answerer.refresh()
        windows = [window for worker in pending for window in worker.pending.taken.windows]
        answered: Answered | None = None
        if windows:
            values = np.stack([window.values for window in windows])
            answered = self._timed("model", lambda: self._answerer.answer(values))
        self._timed("settle", lambda: self._settle(pending, answered))
        settled_us = self._queue.now_us()
        self.work.latency_s.extend((settled_us - window.last_received_us) / 1e6 for window in windows)
        return True

    def _settle(self, pending: list[Worker], answered: Answered | None) -> None:
        first = 0
        for worker in pending:
            count = len(worker.pending.taken.windows)
            settled = worker.settle(answered if count else None, first, hot=self._hot.reached(worker.number))
            first += count
            self._hot.add(worker, settled)
            self.work.messages += settled.messages
            self.work.windows += settled.windows
            self.work.late += settled.late

    def _fail(self, error: HarError) -> None:
        """Say so once, and try again later; everything is kept."""
        if not self._failed:
            _LOG.error("the stream waits: %s", error)
        self._failed += 1
        self._retry_at = time.monotonic() + min(5.0, 0.1 * 2 ** min(self._failed, 6))

    def _timed(self, name: str, part: Callable[[], _T]) -> _T:
        began = time.perf_counter()
        try:
            return part()
        finally:
            self.work.seconds[name] = self.work.seconds.get(name, 0.0) + time.perf_counter() - began
