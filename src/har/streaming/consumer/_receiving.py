"""From a source into the store: decode, put, acknowledge, tell; pause the source while too many messages wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from har.errors import EnvelopeError, SourceError
from har.settings import Settings
from har.streaming.envelope import Envelope, Limits, StreamKey, decode
from har.streaming.queue import Queue, Refused
from har.streaming.sources import Delivery, Source

_LOG = logging.getLogger("har.stream")
_MOST = 2000
"""Messages of one poll, which are one transaction per shard."""
_RESUME = 0.8
"""Share of `stream.queue_messages` at which a paused source goes on."""
_RETRY_S = 5.0


class Receiver:
    """One source of a consumer.

    Args:
        source: to poll.
        queue: the store.
        settings: name the project's channels and units.
    """

    def __init__(self, source: Source, queue: Queue, settings: Settings) -> None:
        self.source = source
        self.paused = False
        self.is_behind = False
        self._queue = queue
        self._limits = Limits.of(settings)
        self._unstored: Sequence[Delivery] = ()
        self._away = False
        self._retry_at = 0.0

    def step(self, waiting: int) -> bool:
        """Take the next messages; whether there were some.

        Args:
            waiting: messages in the store.

        Raises:
            StorageError: the store cannot be written. What was polled is kept, and not acknowledged.
        """
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._hold(waiting)
            if not self._unstored:
                self._unstored = self.source.poll(0.0, _MOST)
            if self._away:
                _LOG.warning("%s is back", self.source.name)
                self._away = False
            deliveries = self._unstored
            self.is_behind = len(deliveries) >= _MOST
            if not deliveries:
                return False
            durable = self._store(deliveries)
            self._unstored = ()
            self.source.acknowledge(deliveries)
            self.source.tell(durable)
        except SourceError as error:
            if not self._away:
                _LOG.error("%s is away, the stream goes on without it: %s", self.source.name, error)
            self._away = True
            self._retry_at = time.monotonic() + _RETRY_S
            return False
        return True

    def close(self) -> None:
        """End the connection."""
        self.source.close()

    def _hold(self, waiting: int) -> None:
        most = self._queue.most
        if not self.paused and waiting > most:
            self.source.pause()
            self.paused = True
            _LOG.warning("%s is paused: %d messages wait", self.source.name, waiting)
        elif self.paused and waiting <= _RESUME * most:
            self.source.resume()
            self.paused = False
            _LOG.warning("%s goes on: %d messages wait", self.source.name, waiting)

    def _store(self, deliveries: Sequence[Delivery]) -> dict[StreamKey, int]:
        envelopes: list[Envelope] = []
        refused: list[Refused] = []
        for one in deliveries:
            try:
                envelopes.append(decode(one.body, one.content_type, self._limits))
            except EnvelopeError as error:
                refused.append(refusal(error, one.body))
        # What a source had sent before it was paused is taken in any case: it cannot be given back.
        return self._queue.put(envelopes, refused, force=True).durable


def refusal(error: EnvelopeError, body: bytes) -> Refused:
    """A message that cannot be used, with its stream as far as it can be read."""
    names = (error.subject, error.device, error.session)
    key = StreamKey(*names) if all(names) else None
    return Refused(str(error), body, key, error.sequence if key else None)
