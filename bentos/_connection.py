"""HTTP connections with limits that uvicorn's have not: on the head's size and time, on pipelining, on their number.

uvicorn's h11 protocol can limit the head's size, but takes several times as long per request; the faster one reads
heads without end, in quadratic time, waits for them for ever, and keeps all requests that a client pipelines. BentoML
passes neither protocol nor limits on to uvicorn, so `install` names this one in uvicorn's table.
"""

from __future__ import annotations

import asyncio
import functools
import json
import resource
import weakref
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn.config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bentos._drain import STATE, Drain

HEAD_BYTES = 16 * 1024
"""Largest request line with headers."""
HEAD_S = 5.0
"""Longest time from a connection's opening, or from a head's first byte, to the head's end."""
REST_S = 2.0
"""How long a body is still received, and ignored, after its request was answered: a client that sends sees the
answer."""
UNREAD_S, UNREAD_AT_END_S = 60.0, 10.0
"""How long a client may leave an answer lying, and so while the server stops; a slow one takes a part of it."""
PARTS, PART_BYTES = 256, 64
"""A body may have so many parts of any size; further ones have this size on average. Each costs as much as a window."""
PIPELINED = 64
"""Requests that may wait on a connection behind the one that is answered."""
CONNECTIONS = 2048
"""Open connections of a process, or as many as its file descriptors allow."""

_SLICE = 16 * 1024
_DESCRIPTORS_LEFT = 64
_SWEEP_S = 0.5


def install() -> None:
    """Let the uvicorn servers that this process starts use `Connection`, unless they name another protocol."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{Connection.__name__}"


class _Flow(FlowControl):
    """Does not read on while `held`: what was read is still to be parsed."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """uvicorn's protocol within the limits above. The application's `Drain`, if it has one, is in the lifespan's state.

    The oldest connection that waits for a request gives way to a new one if there are too many; the new one is refused
    if there is none.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for a head."""
        super().connection_made(transport)
        self._drain: Drain | None = self.app_state.get(STATE)
        self.flow: _Flow = _Flow(transport)
        self._in_head, self._received, self._is_over, self._heads = True, True, False, 0
        self._size = self._unfinished = self._parts = self._body_bytes = 0
        self._refused: tuple[int, str, str] | None = None
        self._rest = b""
        self._since = self.loop.time()
        self._unsent, self._unsent_since = -1, 0.0
        _watch(self.loop, self.server_state)
        if self._drain is not None:
            again = functools.partial(type(self), self.config, self.server_state, self.app_state)
            self._drain.serve_by(again)
        if len(self.connections) > _most_connections():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what waits: its references back to this connection would keep both until a garbage collection."""
        super().connection_lost(exc)
        if self.pipeline:
            # The newest request waits, too, and never begins.
            self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; no further than to the first request that must wait."""
        if self._is_over:
            return
        if self._rest:
            self._rest += data
        elif len(data) <= _SLICE and not self.pipeline:
            self._parse(data)
        else:
            self._rest = data
            self._parse_rest()

    def _parse_rest(self) -> None:
        while self._rest and not self.pipeline and not self._is_over and not self.transport.is_closing():
            part, self._rest = self._rest[:_SLICE], self._rest[_SLICE:]
            self._parse(part)
        self.flow.held = bool(self._rest)
        if self._rest:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def _parse(self, data: bytes) -> None:
        heads = self._heads
        super().data_received(data)
        if self._in_head and heads == self._heads:
            # The parser joins the parts of an unfinished line: ever longer copies.
            self._unfinished += len(data)
            if self._unfinished > HEAD_BYTES:
                self._refuse(*_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._received = True, False
        self._heads += 1
        self._size = self._unfinished = self._parts = self._body_bytes = 0
        self._since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header."""
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > HEAD_BYTES:
            self._refused = _TOO_LARGE
            raise httptools.HttpParserError("the head is too large")

    def on_headers_complete(self) -> None:
        """A request begins, or waits for those before it."""
        if len(self.pipeline) >= PIPELINED:
            self._refused = _TOO_MANY
            raise httptools.HttpParserError("too many pipelined requests")
        super().on_headers_complete()
        self._in_head = False
        if self._drain is not None and self._drain.begun:
            self._drain.note_request()
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        super().on_body(body)
        self._parts += 1
        self._body_bytes += len(body)
        if self._parts > PARTS + self._body_bytes // PART_BYTES:
            self._refused = _TOO_SMALL
            raise httptools.HttpParserError("the parts are too small")

    def on_message_complete(self) -> None:
        """The body is complete."""
        super().on_message_complete()
        self._received = True

    def on_response_complete(self) -> None:
        """Start the next request, or wait for one."""
        super().on_response_complete()
        self._since = self.loop.time()
        if self._rest:
            self._parse_rest()

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to warn of: the request is answered in HTTP/1.1."""

    def shutdown(self) -> None:
        """The server stops: the next answer is the last one; without a request, `sweep` closes the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused, and close the connection."""
        self._refuse(*(self._refused or (400, "a request in HTTP/1.1", msg)))

    def sweep(self, now: float, stopping: bool) -> None:
        """Close the connection if it has waited for too long."""
        if self.transport.is_closing() or self.flow.write_paused:
            unsent = self.transport.get_write_buffer_size()
            if unsent != self._unsent:
                self._unsent, self._unsent_since = unsent, now
            elif now - self._unsent_since > (min(UNREAD_S, UNREAD_AT_END_S) if stopping else UNREAD_S):
                self.transport.abort()
            return
        self._unsent = -1
        if not self.is_waiting():
            return
        waited = now - self._since
        if self._is_over or (not self._in_head and not self._received):
            if waited > REST_S:
                self.transport.close()
        elif waited > (REST_S / 2 if stopping else HEAD_S):
            if self._received:
                self.transport.close()
            else:
                self._refuse(408, f"a whole head within {HEAD_S:g} s", "a part of one")

    def is_waiting(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        others = (other for other in self.connections if other is not self and isinstance(other, Connection))
        waiting = (other for other in others if other.is_waiting() or other.transport.is_closing())
        oldest = min(waiting, key=lambda other: other._since, default=None)
        if oldest is None:
            self._refuse(503, f"at most {_most_connections()} connections", "one more")
        elif oldest.transport.is_closing():
            oldest.transport.abort()
        else:
            oldest.transport.close()

    def _refuse(self, status: int, expected: str, got: str) -> None:
        if self._is_over or self.transport.is_closing():
            return
        error = {"field": "request", "expected": expected, "got": got, "remedy": "See /docs.json."}
        body = json.dumps({"error": error}).encode()
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        head = f"{line}content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self._rest, self._since = b"", self.loop.time()
        if self.is_waiting() and self.transport.can_write_eof():
            # Closed while its client still sends, it would be reset, and the client would not see the answer.
            self.transport.write_eof()
            self._is_over = True
        else:
            self.transport.close()


_TOO_LARGE = (431, f"a request line and headers of at most {HEAD_BYTES} bytes", "more")
_TOO_SMALL = (400, f"a body in parts of at least {PART_BYTES} bytes on average", "smaller ones")
_TOO_MANY = (429, f"at most {PIPELINED} requests waiting on a connection", "one more")


@functools.cache
def _most_connections() -> int:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if allowed < 0 else max(1, min(CONNECTIONS, allowed - _DESCRIPTORS_LEFT))


_swept: weakref.WeakSet[Any] = weakref.WeakSet()


def _watch(loop: asyncio.AbstractEventLoop, state: ServerState) -> None:
    """Sweep a server's connections twice a second, from its first connection on: no timer is set per request."""
    if state in _swept:
        return
    _swept.add(state)

    def sweep() -> None:
        now = loop.time()
        for connection in list(state.connections):
            if isinstance(connection, Connection):
                drain = connection._drain
                connection.sweep(now, drain is not None and drain.stopped)
        loop.call_later(_SWEEP_S, sweep)

    loop.call_later(_SWEEP_S, sweep)
