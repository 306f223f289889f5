"""Requests take turns, so that one round of the event loop, and with it health and new connections, never waits long.

The loop reads every connection that has sent something, and works on all of it, before it accepts a connection or reads
again. With hundreds of clients and the model in the loop's own thread, such a round would take a second.
"""

from __future__ import annotations

import asyncio
import time

WORK_S, REFUSALS_S = 0.005, 0.001
"""Work and refusals of one round; the rest follows in the next one, after the loop has looked at its sockets."""


class Turns:
    """Lets requests on, in their order, until a round's time is used up; only for the event loop's thread.

    The time is this thread's own: on a busy machine, a round is as much work as on an idle one.

    Args:
        round_s: time for such requests in one round.
    """

    def __init__(self, round_s: float) -> None:
        self._round_s = round_s
        self._until: float | None = None
        self._is_over = False

    async def take(self) -> None:
        """Wait for a round that has time left."""
        while self._is_used_up():
            await asyncio.sleep(0)
        if self._until is None:
            self._until = time.thread_time() + self._round_s
            asyncio.get_running_loop().call_soon(self._end_round)

    def _is_used_up(self) -> bool:
        if not self._is_over and self._until is not None:
            self._is_over = time.thread_time() > self._until
        return self._is_over

    def _end_round(self) -> None:
        self._until, self._is_over = None, False
