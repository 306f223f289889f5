"""More than the service can take: it says so at once, stays healthy, and takes up again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson
import pytest
from serving_support import SLOW, Service, eventually, movements, trapped

from bentos.online._uploads import Uploads
from har.inference import Package

pytestmark = pytest.mark.stack

Serve = Callable[..., Service]
MakePackage = Callable[..., Package]


def connect(service: Service, stack: ExitStack) -> socket.socket:
    address = urlsplit(service.url)
    return stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=10))


def head(size: int, kind: str = "application/json", path: str = "/predict") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode()


def hold(service: Service, stack: ExitStack, count: int) -> list[socket.socket]:
    """So many connections whose requests the service works on until the model's deadline; every place is theirs."""
    # One window more than what the model answers in the event loop's own thread.
    windows = np.concatenate([trapped(SLOW), movements(16)])
    body = orjson.dumps({"windows": windows.tolist()})
    held = [connect(service, stack) for _ in range(count)]
    for connection in held:
        connection.sendall(head(len(body)) + body)
    eventually(lambda: service.client.post("/predict", content=b"").status_code == 429)
    return held


BODY = orjson.dumps({"windows": movements(1).tolist()})


def test_over_the_limit_429_at_once_while_health_and_metrics_answer(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"), max_concurrency=2, timeout_s=8.0, deadline_ms=1500.0)
    with ExitStack() as stack:
        held = hold(service, stack, 2)

        for path in ("/predict", "/predict/raw", "/feedback"):
            began = time.perf_counter()
            response = service.client.post(path, content=BODY, headers={"content-type": "application/json"})
            assert time.perf_counter() - began < 0.5
            assert response.status_code == 429
            assert response.headers["retry-after"] == "1"
            assert response.json()["error"]["expected"] == "at most 2 at once (serving.max_concurrency)"
        for path in ("/livez", "/readyz", "/metrics/", "/model", "/docs.json"):
            assert service.client.get(path).status_code == 200, path
        assert 'har_requests_total{route="/feedback",status="429"} 1' in service.client.get("/metrics/").text

        for connection in held:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert service.predict(movements(1))["fallback"] is False


def test_a_burst_is_answered_or_refused_and_nothing_else(serve: Serve, package: Package) -> None:
    service = serve(package, max_concurrency=2)

    async def burst() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=service.url, limits=limits, timeout=10) as client:
            kind = {"content-type": "application/json"}
            return await asyncio.gather(*(client.post("/predict", content=BODY, headers=kind) for _ in range(60)))

    statuses = Counter(response.status_code for response in asyncio.run(burst()))
    assert statuses.keys() <= {200, 429}
    assert statuses[200] >= 2
    eventually(lambda: service.metric("har_requests_total", route="/predict", status="200") == statuses[200])
    assert service.metric("har_requests_total", route="/predict", status="429") == statuses[429]
    assert service.predict(movements(1))["fallback"] is False


@pytest.mark.parametrize("pace_s", [0.05, None], ids=["trickling", "never"])
def test_a_body_that_takes_too_long_is_given_up(serve: Serve, package: Package, pace_s: float | None) -> None:
    service = serve(package, max_concurrency=1, timeout_s=0.4)
    with ExitStack() as stack:
        connection = connect(service, stack)
        began = time.perf_counter()
        connection.sendall(head(len(BODY)))
        connection.settimeout(pace_s or 5)
        answer, sent = b"", 0
        while not answer and time.perf_counter() - began < 5:
            try:
                if pace_s is not None:
                    connection.sendall(BODY[sent : sent + 1])
                    sent += 1
                answer = connection.recv(65536)
            except TimeoutError:
                continue
        took = time.perf_counter() - began
    assert answer.split(b" ")[1] == b"408"
    assert 0.3 < took < 2
    assert b'"field":"body"' in answer
    assert service.predict(movements(1))["fallback"] is False


def test_bodies_on_their_way_hold_no_place(serve: Serve, package: Package) -> None:
    service = serve(package, max_concurrency=1, timeout_s=30.0)
    with ExitStack() as stack:
        slow = [connect(service, stack) for _ in range(40)]
        for number, connection in enumerate(slow):
            connection.sendall(head(len(BODY)) + (BODY[:100] if number % 2 else b""))
        for _ in range(20):
            assert service.predict(movements(1))["fallback"] is False
        # The oldest made room for later ones, with an answer; the newest are waited for.
        first = slow[0].recv(65536)
        assert first.startswith(b"HTTP/1.1 429 ")
        assert b'"field":"body"' in first
        slow[-1].sendall(BODY[100:])
        assert slow[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
    assert service.predict(movements(1))["fallback"] is False


def test_bodies_on_their_way_hold_a_bounded_number_of_bytes() -> None:
    async def give(size: int) -> tuple[list[bool], int]:
        uploads = Uploads(10, 1000)

        async def one() -> bool:
            with suppress(TimeoutError):
                async with asyncio.timeout(60) as timeout:
                    with uploads.one(timeout) as upload:
                        uploads.received(upload, size)
                        await asyncio.sleep(0.05)
                        return True
            return False

        return await asyncio.gather(*(one() for _ in range(5))), uploads._bytes

    assert asyncio.run(give(200)) == ([True] * 5, 0)
    assert asyncio.run(give(400)) == ([False, False, False, True, True], 0)
    assert asyncio.run(give(2000)) == ([False] * 4 + [True], 0)  # its own limit is the route's


def test_an_abandoned_request_is_no_fault(serve: Serve, package: Package, caplog: pytest.LogCaptureFixture) -> None:
    service = serve(package)
    for size in (0, 10, len(BODY) - 1, len(BODY)):
        with ExitStack() as stack:
            connect(service, stack).sendall(head(len(BODY)) + BODY[:size])
    assert service.predict(movements(1))["fallback"] is False
    assert service.metric("har_requests_total", route="/predict", status="500") == 0
    assert not [record for record in caplog.records if record.exc_info]


def test_a_large_request_leaves_room_for_small_ones(serve: Serve, package: Package) -> None:
    service = serve(package, timeout_s=5.0)

    async def both() -> tuple[httpx.Response, list[httpx.Response]]:
        async with httpx.AsyncClient(base_url=service.url, timeout=10) as client:
            large = asyncio.create_task(client.post("/predict", json={"windows": movements(256).tolist()}))
            small = await asyncio.gather(*(client.post("/predict", json=orjson.loads(BODY)) for _ in range(5)))
            return await large, small

    large, small = asyncio.run(both())
    assert len(large.json()["predictions"]) == 256
    assert [response.status_code for response in small] == [200] * 5
