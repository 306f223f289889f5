"""Workers that are processes of this machine. One that is killed is replaced, and only its part runs again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from har.engine._outcomes import Done, Outcome, run_sent, send
from har.inference import granted_cores

LEAST_POLARS_THREADS = 2
"""A second thread lets Polars read while it decodes; more would take the cores of the other workers."""


class Processes:
    """So many processes; by default one per available core.

    Each has a pool of its own: were they one pool, the end of one process would end them all.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers or granted_cores()
        self._lock = threading.Lock()
        self._free: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._closed = False

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the processes; what still runs is stopped, as by a kill."""
        with self._lock:
            self._closed = True
            workers = tuple(self._all)
        for worker in workers:
            worker.stop()

    def take(self, function: Callable[[Any], Any], part: Any, done: Done) -> bool:
        sent = send(function, part)
        with self._lock:
            if not self._free:
                if len(self._all) >= self.workers:
                    return False
                self._free.append(_Worker(max(LEAST_POLARS_THREADS, granted_cores() // self.workers)))
                self._all.add(self._free[-1])
            worker = self._free.pop()

        def ended(future: Future[Outcome[Any]]) -> None:
            error = future.exception()
            lost = isinstance(error, BrokenExecutor)
            with self._lock:
                if lost:
                    self._all.discard(worker)
                else:
                    self._free.append(worker)
            if lost:
                worker.stop(wait=False)  # this is a thread of its pool
                done(Outcome(lost="its process was killed"))
            else:
                done(future.result() if error is None else Outcome(error=error))

        try:
            worker.pool.submit(run_sent, sent).add_done_callback(ended)
        except BrokenExecutor:  # it was killed while it had nothing to do
            with self._lock:
                self._all.discard(worker)
            worker.stop()
            return self.take(function, part, done)
        return True

    def look(self) -> None:
        """The pools notice the end of a process themselves."""


class _Worker:
    def __init__(self, threads: int) -> None:
        context = get_context("spawn")
        far, self._leash = context.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(far, threads))

    def stop(self, *, wait: bool = True) -> None:
        self._leash.close()
        self.pool.shutdown(wait=wait, cancel_futures=True)


def _begin(leash: Connection, threads: int) -> None:
    """In a new process: end with the job's process, leave Ctrl-C to it, and use only so many cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("POLARS_MAX_THREADS", str(threads))

    def end_with_the_job() -> None:
        try:
            leash.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=end_with_the_job, daemon=True).start()
