"""Messages into the queue on disk: one thread, which stores in one transaction all that came while it stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from har.errors import HarError

if TYPE_CHECKING:
    from har.streaming.envelope import Envelope
    from har.streaming.queue import Placed, Queue, Refused

logger = logging.getLogger("bentoml.har.samples")

_MOST = 1000
"""Messages of one transaction, so that none waits long for it."""


class Writer:
    """Stores messages; each `put` waits until its message is on disk.

    A commit waits for the disk, the same time for one message as for a hundred. While it does, further messages
    gather for the next one. All methods belong to the event loop's thread.

    Args:
        open_queue: opens the queue, in the thread, when the first message comes.
    """

    def __init__(self, open_queue: Callable[[], Queue]) -> None:
        self._open = open_queue
        self._queue: Queue | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[tuple[Envelope | Refused, asyncio.Future[Placed]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def put(self, message: Envelope | Refused) -> Placed:
        """Store a message; what the queue says of all that were stored with it.

        Raises:
            HarError: the queue cannot be opened or written.
        """
        future: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, future))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        return await future

    async def close(self) -> None:
        """Close the queue, once all that came is stored."""
        if self._storing is not None:
            await self._storing
        if self._pool is not None:
            if self._queue is not None:
                await asyncio.get_running_loop().run_in_executor(self._pool, self._queue.close)
            self._pool.shutdown()
            self._pool = self._queue = None

    async def _store_all(self) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="samples")
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            messages = [message for message, _ in batch]
            try:
                placed = await asyncio.get_running_loop().run_in_executor(self._pool, self._store, messages)
            except Exception as error:  # each of the batch's requests gets it
                if not isinstance(error, HarError):
                    logger.exception("%d messages could not be stored", len(messages))
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                        future.exception()  # its request may have ended meanwhile
            else:
                for _, future in batch:
                    if not future.done():
                        future.set_result(placed)
        self._storing = None

    def _store(self, messages: list[Envelope | Refused]) -> Placed:
        from har.streaming.envelope import Envelope
        from har.streaming.queue import Refused

        if self._queue is None:
            self._queue = self._open()
        good = [one for one in messages if isinstance(one, Envelope)]
        return self._queue.put(good, [one for one in messages if isinstance(one, Refused)])
