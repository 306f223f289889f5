"""The thread that delivers the outbox to the lake and to the history, while the consumer goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from har.errors import HarError
from har.streaming.history import History, HistoryRow
from har.streaming.queue import Queue
from har.streaming.sinks._lake import LakeSink, Sunk
from har.streaming.store import Receiver, Shard, database, delivered, predictions_for

_LOG = logging.getLogger("har.stream")
_HISTORY_S = 1.0
_MOST = 5000
_LONGEST_RETRY_S = 60.0


class Deliveries:
    """Delivers the outboxes of a consumer's shards.

    A receiver that is away is tried again later; until then its rows wait in the outbox.

    Args:
        queue: its folder has the shards.
        owned: the numbers of the consumer's shards, at the time of the call.
        lake: commits to the lake.
        history: None: there is none.
        lake_s: between two commits to the lake.
        receivers: of predictions, besides the lake.
    """

    def __init__(
        self,
        queue: Queue,
        owned: Callable[[], Sequence[int]],
        lake: LakeSink,
        history: History | None,
        *,
        lake_s: float,
        receivers: Sequence[Receiver],
    ) -> None:
        self.sunk = Sunk()
        self.lake_seconds = 0.0
        self._queue = queue
        self._owned = owned
        self._lake = lake
        self._history = history
        self._lake_s = lake_s
        self._receivers = receivers
        self._shards: dict[int, Shard] = {}
        self._stop = threading.Event()
        self._busy = threading.Lock()
        self._failed: dict[str, int] = {}
        self._due = {"lake": time.monotonic() + lake_s, "history": time.monotonic()}
        self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Deliver once more what is there, and end."""
        self._stop.set()
        self._thread.join()
        for name in self._due:
            self._due[name] = 0.0
        self._step()
        for shard in self._shards.values():
            shard.close()

    def finish(self, number: int) -> None:
        """Wait until nothing of this shard is being delivered: another consumer may take it then."""
        with self._busy:
            shard = self._shards.pop(number, None)
            if shard is not None:
                shard.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._step()
            self._stop.wait(max(0.05, min(self._due.values()) - time.monotonic()))

    def _step(self) -> None:
        now = time.monotonic()
        if now >= self._due["history"]:
            self._due["history"] = now + _HISTORY_S
            if self._history is not None:
                self._try("history", self._to_history)
        if now >= self._due["lake"]:
            self._due["lake"] = now + self._lake_s
            self._try("lake", self._to_lake)

    def _try(self, name: str, deliver: Callable[[Shard], None]) -> None:
        for number in self._owned():
            with self._busy:
                if number not in self._owned():
                    continue
                try:
                    if number not in self._shards:
                        self._shards[number] = Shard(database(self._queue.folder, number))
                    deliver(self._shards[number])
                except Exception as error:  # noqa: BLE001  whatever it is, the thread must try again, and say it
                    failed = self._failed[name] = self._failed.get(name, 0) + 1
                    if failed == 1:
                        trace = None if isinstance(error, HarError) else error
                        _LOG.error("the stream goes on without the %s: %s", name, error, exc_info=trace)
                    self._due[name] = time.monotonic() + min(_LONGEST_RETRY_S, 2.0 ** min(failed, 6))
                    return
        if self._failed.pop(name, 0):
            _LOG.warning("the %s is back, and has what waited for it", name)

    def _to_lake(self, shard: Shard) -> None:
        began = time.perf_counter()
        self.sunk.add(self._lake.drain(shard))
        self.lake_seconds += time.perf_counter() - began

    def _to_history(self, shard: Shard) -> None:
        assert self._history is not None  # noqa: S101  as the caller says
        while True:
            rows, last = predictions_for(shard, "history", _MOST)
            if not rows:
                return
            self._history.write([HistoryRow(row.subject, row.session, row.answer()) for row in rows])
            delivered(shard, "history", last, receivers=self._receivers)
