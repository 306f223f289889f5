"""`POST /samples`: a device's message is checked, put into the queue on disk, and answered once it is durable there."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from bentos.online._answering import Answering
from bentos.online._http import JSON
from bentos.online._posts import SUBJECT, Headers, Post
from bentos.online.stream import _json
from bentos.online.stream._writing import Writer
from har.errors import EnvelopeError, HarError, RequestError

if TYPE_CHECKING:
    from har.streaming.envelope import Envelope, Limits
    from har.streaming.queue import Placed, Queue

MSGPACK = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")
_ARROW = ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file")
_INLINE_BYTES = 32 * 1024
"""A longer message is decoded in a thread: the event loop must not wait for it."""
_SMALLER = "Send fewer samples in a message, or raise stream.message_bytes."
_AGAIN = "Send the message again after the seconds in Retry-After: it counts once."


class Samples:
    """The route's part of one worker process. Any number of workers and replicas write to the same folder.

    Args:
        answering: whose settings hold here, too.
    """

    def __init__(self, answering: Answering) -> None:
        self._settings = answering.settings
        self._writer = Writer(self._open)

    def posts(self) -> list[Post]:
        """The routes."""
        limit = self._settings.stream.message_bytes
        return [
            Post("/samples", self._samples, limit, JSON, 202, True, (*MSGPACK, *_ARROW), _SMALLER),
        ]

    async def close(self) -> None:
        """Close the queue, once all that came is stored."""
        await self._writer.close()

    async def _samples(self, body: bytes, request: Request, headers: Headers, _: str) -> bytes:
        media = headers[b"content-type"].partition(b";")[0].strip().lower().decode("latin-1")
        if media in _ARROW:
            raise RequestError(
                where="Content-Type",
                expected=f"{JSON} or {MSGPACK[0]}",
                got=media,
                remedy="Send JSON or MessagePack; Arrow is read from MQTT and Kafka.",
                status=415,
            )
        query = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        unknown = query.keys() - {"subject", "placement"}
        if unknown:
            raise RequestError(
                where=f"query: {min(unknown)[:80]}",
                expected="subject and placement",
                got="another parameter",
                remedy="They are for the phone app Sensor Logger; all else says itself whose it is.",
            )
        if query.get("subject"):
            from har.streaming.envelope.formats.sensor_logger import addressed

            body = addressed(body, subject=query["subject"], placement=query.get("placement", ""))
        return await self._take(body, media, request)

    async def _take(self, body: bytes, media: str, request: Request) -> bytes:
        """Store a message; what is durable of its stream.

        Raises:
            RequestError: it is wrong, the queue is full, or cannot be written.
        """
        try:
            envelope = await self._decode(body, media)
        except EnvelopeError as error:
            request.scope[SUBJECT] = error.subject or None
            await self._reject(error, body)
            status = 400 if error.where == "body" else 422
            raise RequestError(
                where=error.where, expected=error.expected, got=error.got, remedy=error.remedy, status=status
            ) from error
        request.scope[SUBJECT] = envelope.key.subject
        placed = await self._store(envelope)
        if placed.full:
            raise RequestError(
                where="queue",
                expected=f"at most {self._settings.stream.queue_messages} waiting messages (stream.queue_messages)",
                got="one more",
                remedy=f"{_AGAIN} If none runs, start a consumer: har stream run.",
                status=429,
            )
        return _json.compose({**envelope.key._asdict(), "durable": placed.durable[envelope.key]})

    async def _decode(self, body: bytes, media: str) -> Envelope:
        limits = self.__dict__.get("_limits")
        if limits is None or len(body) > _INLINE_BYTES:
            return await asyncio.to_thread(lambda: _decoded(body, media, self._limits))
        return _decoded(body, media, limits)

    @cached_property
    def _limits(self) -> Limits:
        from har.streaming.envelope import Limits

        return Limits.of(self._settings)

    async def _reject(self, error: EnvelopeError, body: bytes) -> None:
        """Count a message that cannot be used, and set it aside."""
        from har.streaming.envelope import StreamKey
        from har.streaming.queue import Refused

        names = (error.subject, error.device, error.session)
        key = StreamKey(*names) if all(names) else None
        sequence = error.sequence if key is not None and error.sequence >= 0 else None
        await self._store(Refused(str(error), body, key, sequence))

    async def _store(self, message: Any) -> Placed:
        try:
            return await self._writer.put(message)
        except HarError as error:
            raise RequestError(
                where="queue", expected=error.expected, got=error.got, remedy=f"{error.remedy} {_AGAIN}", status=503
            ) from error

    def _open(self) -> Queue:
        from har.streaming.queue import open_queue

        return open_queue(self._settings)


def _decoded(body: bytes, media: str, limits: Limits) -> Envelope:
    from har.streaming.envelope import decode

    return decode(body, media, limits)
