"""Workers that are threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from har.engine._outcomes import Done, Outcome, attempt
from har.inference import granted_cores


class Threads:
    """So many threads; by default one per available core."""

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers or granted_cores()
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="part")
        self._free = threading.Semaphore(self.workers)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Parts that run come to their end; a thread cannot be stopped."""
        self._pool.shutdown(cancel_futures=True)

    def take(self, function: Callable[[Any], Any], part: Any, done: Done) -> bool:
        if not self._free.acquire(blocking=False):
            return False

        def ended(future: Future[Outcome[Any]]) -> None:
            self._free.release()
            if future.cancelled():
                return
            error = future.exception()  # one that is no `Exception`, such as SystemExit
            done(future.result() if error is None else Outcome(error=error))

        self._pool.submit(attempt, function, part).add_done_callback(ended)
        return True

    def look(self) -> None:
        """Threads need nobody."""
