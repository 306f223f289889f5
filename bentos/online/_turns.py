"""Requests take turns, so that one round of the event loop, and with it health and new connections, never waits long.

The loop reads every connection that has sent something, and works on all of it, before it accepts a connection or reads
again. With hundreds of clients and the model in the loop's own thread, such a round would take a second.
"""

from __future__ import annotations

import asyncio
import time

WORK_S, REFUSALS_S = 0.005, 0.002
"""Work and refusals of one round; the rest follows in the next one, after the loop has looked at its sockets."""


class Turns:
    """Lets requests on, in their order, until a round's time is used up; only for the event loop's thread.

    Args:
        round_s: time for such requests in one round.
    """

    def __init__(self, round_s: float) -> None:
        self._round_s = round_s
        self._until: float | None = None

    async def take(self) -> None:
        """Wait for a round that has time left."""
        while self._until is not None and time.perf_counter() > self._until:
            await asyncio.sleep(0)
        if self._until is None:
            self._until = time.perf_counter() + self._round_s
            asyncio.get_running_loop().call_soon(self._end_round)

    def _end_round(self) -> None:
        self._until = None
