"""The hot store behind a thread of its own, opened when somebody first asks; the event loop never waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from har.errors import HarError, RequestError

if TYPE_CHECKING:
    from har.streaming.state import HotStore

logger = logging.getLogger("bentoml.har.live")

_PATIENCE_S = 3.0
"""An answer of the store is waited for so long, the questions ahead of it included."""
_PAUSE_S = 1.0
"""After a failure, the store is not asked for so long, so that a store that is away costs no page a thread's time."""

_Result = TypeVar("_Result")


class Hot:
    """Asks the hot store; one question at a time, because a connection to a store belongs to one thread.

    Args:
        open_store: connects, in the thread.
    """

    def __init__(self, open_store: Callable[[], HotStore]) -> None:
        self._open = open_store
        self._store: HotStore | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._failed: HarError | None = None
        self._failed_at = 0.0

    async def ask(self, question: Callable[[HotStore], _Result]) -> _Result:
        """What the store answers.

        Raises:
            RequestError: it is away, or takes too long; status 503.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="hot-store")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await loop.run_in_executor(self._pool, self._ask, question)
        except TimeoutError as error:
            raise _away(expected=f"an answer within {_PATIENCE_S:g} s", got="none", remedy="Ask again.") from error
        except HarError as error:
            if isinstance(error, RequestError):
                raise
            raise _away(expected=error.expected, got=error.got, remedy=error.remedy) from error

    def close(self) -> None:
        """End the connection and the thread."""
        if self._pool is not None:
            self._pool.submit(self._drop)
            self._pool.shutdown(wait=True)
            self._pool = None

    def _ask(self, question: Callable[[HotStore], _Result]) -> _Result:
        if self._failed is not None and time.monotonic() - self._failed_at < _PAUSE_S:
            raise self._failed
        try:
            if self._store is None:
                self._store = self._open()
            found = question(self._store)
        except HarError as error:
            if self._failed is None:
                logger.warning("the pages have no state to show: %s", error)
            self._failed, self._failed_at = error, time.monotonic()
            self._drop()
            raise
        self._failed = None
        return found

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except HarError as error:
                logger.info("the connection to the hot store could not be closed: %s", error)


def _away(*, expected: str, got: str, remedy: str) -> RequestError:
    return RequestError(where="hot store", expected=expected, got=got, remedy=remedy, status=503)
