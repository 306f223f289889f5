"""Connections that send heads without end, nothing, too much at once or too little: they cost others nothing."""

from __future__ import annotations

import gc
import http.client
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson
import pytest
from serving_support import Service, eventually, listening, movements

from bentos import _connection
from bentos._front import Front

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = orjson.dumps({"windows": movements(1).tolist()})
POST = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    + BODY
)
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(service: Service) -> Iterator[Connect]:
    """Open connections; they are closed with the test."""
    address = urlsplit(service.url)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=5))


def answers(connection: socket.socket, count: int) -> list[int]:
    """The statuses of so many answers, in their order."""
    found = []
    with connection.makefile("rb") as stream:
        for _ in range(count):
            status = int(stream.readline().split()[1])
            length = int(http.client.parse_headers(stream)["content-length"])
            assert len(stream.read(length)) == length
            found.append(status)
    return found


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection, whatever it answered before."""
    connection.settimeout(0.01)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"a"),
        (b"GET /livez?", b"a"),
        (b"GET /livez HTTP/1.1\r\nX-A: ", b"a"),
        (b"GET /livez HTTP/1.1\r\nX-A", b"a"),
        (b"GET /livez HTTP/1.1\r\n", b"X-A: b\r\n"),
    ],
)
def test_the_head_is_bounded(connect: Connect, start: bytes, more: bytes) -> None:
    enough = 3 * _connection.HEAD_BYTES // len(more)
    for parts in (1, 8):
        connection = connect()
        connection.sendall(start)
        for _ in range(parts):
            connection.sendall(more * (enough // parts))
            time.sleep(0.02)
        assert answers(connection, 1) == [431]
        eventually(lambda: is_closed(connection))  # noqa: B023


def test_a_long_head_within_the_limit_is_read(connect: Connect) -> None:
    connection = connect()
    lines = b"X-A: " + b"a" * (_connection.HEAD_BYTES - 200) + b"\r\n"
    for byte in (GET[:-2], lines[:5000], lines[5000:], b"\r\n"):
        connection.sendall(byte)
        time.sleep(0.02)
    connection.sendall(GET)
    assert answers(connection, 2) == [200, 200]


@pytest.mark.parametrize("sent", [b"", b"\r\n", GET[:20]], ids=["nothing", "line", "half"])
def test_who_waits_with_its_head_is_closed(connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(_connection, "HEAD_S", 0.3)
    connection = connect()
    connection.sendall(sent)
    received = connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 408 ") if sent == GET[:20] else received == b""


def test_a_head_that_trickles_is_closed(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "HEAD_S", 0.3)
    connection = connect()
    connection.sendall(GET)
    assert answers(connection, 1) == [200]
    connection.sendall(GET[:-2])

    def refused() -> bool:
        connection.sendall(b"X: y\r\n")
        connection.settimeout(0.05)
        try:
            return connection.recv(65536).startswith(b"HTTP/1.1 408 ")
        except TimeoutError:
            return False

    eventually(refused, 5)


def test_a_body_after_its_answer_is_not_received_for_ever(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "REST_S", 0.2)
    connection = connect()
    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
    assert answers(connection, 1) == [415]

    def closed() -> bool:
        connection.sendall(b"x")
        return is_closed(connection)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(200):
            if closed():
                connection.sendall(b"x")
            time.sleep(0.02)


def test_pipelined_requests_are_answered_in_their_order(connect: Connect) -> None:
    connection = connect()
    sent = [POST, GET, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"] * 40
    connection.sendall(b"".join(sent))
    assert answers(connection, len(sent)) == [200, 200, 404] * 40


def test_too_many_pipelined_requests_are_not_kept(connect: Connect) -> None:
    connection = connect()
    connection.sendall(POST + GET * 300)
    eventually(lambda: is_closed(connection))


def test_an_abandoned_pipeline_is_freed_without_a_garbage_collection(connect: Connect) -> None:
    def kept() -> int:
        return sum(type(found) is _connection.Connection for found in gc.get_objects())

    eventually(lambda: gc.collect() is not None and kept() < 5)
    gc.disable()
    try:
        for _ in range(20):
            connection = connect()
            connection.sendall(POST * 50)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        eventually(lambda: kept() < 5)
    finally:
        gc.enable()


def test_a_body_in_many_tiny_parts_is_refused(connect: Connect) -> None:
    connection = connect()
    connection.sendall(CHUNKED + b"1\r\n \r\n" * 1000)
    assert 400 in answers(connection, 1)
    connection = connect()
    parts = [BODY[n : n + 100] for n in range(0, len(BODY), 100)]
    connection.sendall(CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n")
    assert answers(connection, 1) == [200]


def test_the_oldest_waiting_connection_makes_room(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "_most_connections", lambda: 8)
    connections = []
    for _ in range(12):
        connections.append(connect())
        connections[-1].sendall(GET)
        assert answers(connections[-1], 1) == [200]
        time.sleep(0.01)
    eventually(lambda: all(is_closed(connection) for connection in connections[:4]), 3)
    connections[-1].sendall(GET)
    assert answers(connections[-1], 1) == [200]


LARGE = bytes(30_000_000)


@pytest.fixture
def large() -> Iterator[tuple[str, int]]:
    """A server whose one answer is larger than what a system buffers."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            return await send({"type": "lifespan.shutdown.complete"})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        for start in range(0, len(LARGE), 100_000):
            await send({"type": "http.response.body", "body": LARGE[start : start + 100_000], "more_body": True})
        return await send({"type": "http.response.body", "body": b""})

    with listening(Front(answer)) as url:
        address = urlsplit(url)
        yield str(address.hostname), int(address.port or 0)


def test_who_does_not_read_its_answer_is_closed(large: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "UNREAD_S", 0.6)
    with socket.create_connection(large, timeout=5) as connection:
        connection.sendall(GET)
        time.sleep(3)
        received = 0
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 20):
                received += len(part)
    assert 0 < received < len(LARGE)


def test_a_slow_reader_gets_its_whole_answer(large: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "UNREAD_S", 1.5)
    received = 0
    with socket.create_connection(large, timeout=5) as connection:
        connection.sendall(GET)
        while part := connection.recv(1 << 20):
            received += len(part)
            time.sleep(0.1 if received < len(LARGE) else 0)
    assert received > len(LARGE)


def test_a_request_to_change_the_protocol_is_answered_in_this_one(service: Service) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}
    assert httpx.get(f"{service.url}/livez", headers=headers).status_code == 200


def test_a_whole_batch_of_windows_still_arrives(service: Service) -> None:
    windows = movements(256)
    assert len(service.raw(windows).json()["predictions"]) == 256
    assert np.isfinite(windows).all()
