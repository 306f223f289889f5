"""Into the project's own on-disk queue, without a service or a broker: for a demo, and for tests."""

from __future__ import annotations

import time
from collections.abc import Sequence

from har.errors import EnvelopeError
from har.settings import Settings
from har.streaming._acks import Ack
from har.streaming.client._spool import Waiting
from har.streaming.client.links._link import Sent
from har.streaming.envelope import Limits, decode
from har.streaming.queue import open_queue

_FULL_S = 0.5


class QueueLink:
    """The queue of the project in this folder.

    Args:
        settings: of the project.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits.of(settings)
        self._queue = open_queue(settings)

    def send(self, messages: Sequence[Waiting]) -> Sent:
        """See `Link`."""
        sent = Sent()
        envelopes = []
        for message in messages:
            try:
                envelopes.append(decode(message.body, message.content_type, self._limits))
            except EnvelopeError as error:
                sent.refused[message.number] = str(error)
        placed = self._queue.put(envelopes)
        if placed.full:
            return Sent(refused=sent.refused, wait_s=_FULL_S, why="too many messages wait for `har stream run`")
        sent.safe = [message.number for message in messages if message.number not in sent.refused]
        return sent

    def hear(self, timeout_s: float) -> list[Ack]:
        """See `Link`; the answers have said everything."""
        time.sleep(timeout_s)
        return []

    def close(self) -> None:
        """See `Link`."""
        self._queue.close()
