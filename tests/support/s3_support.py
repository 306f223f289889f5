"""An S3 server in memory for tests, buckets in it, and a proxy before it that fails, stalls, or forgets conditions."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import http.server
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from ports_support import free_port

from har.storage import Location, Service

MOTO = Path(__file__).resolve().parents[2] / ".venv" / "tools" / "bin" / "moto_server"
needs_moto = pytest.mark.skipif(not MOTO.exists(), reason="moto's server is not installed in .venv/tools: make setup")

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing#1", "AWS_EC2_METADATA_DISABLED": "true"}
"""Credentials that the server takes, as it takes any."""

_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_BROKEN = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>"


@dataclass(frozen=True)
class Storage:
    """An S3 server; its address, and the process."""

    url: str
    process: subprocess.Popen[bytes]

    def make_bucket(self, name: str) -> None:
        """Make a bucket; the server checks no signature."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        connection.request("PUT", f"/{name}")
        assert connection.getresponse().status == 200
        connection.close()


@contextlib.contextmanager
def moto() -> Iterator[Storage]:
    """An S3 server of its own; it forgets everything when the block ends."""
    port = free_port()
    command = [str(MOTO), "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                time.sleep(0.1)
            yield Storage(f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()


@cache
def shared() -> Storage:
    """One server for all tests of this process, which ends it."""
    stack = contextlib.ExitStack()
    served = stack.enter_context(moto())
    atexit.register(stack.close)
    return served


def bucket(
    monkeypatch: pytest.MonkeyPatch, *, url: str | None = None, prefix: str = "study/lake", **how: Any
) -> Location:
    """A new bucket of the shared server, with the credentials in the environment.

    Args:
        monkeypatch: takes them out again.
        url: of a server or proxy before it; None: the shared server.
        prefix: in the bucket.
        how: further arguments of `har.storage.Service`.
    """
    use_keys(monkeypatch)
    name = f"test-{uuid4().hex[:12]}"
    shared().make_bucket(name)
    return Location(f"s3://{name}/{prefix}", Service(endpoint=url or shared().url, **how))


def use_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put credentials into the environment, and nothing else of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@dataclass
class Faults:
    """What a proxy does to requests; change it while it runs.

    Attributes:
        url: of the proxy.
        share_500: share of requests that are not passed on, and answered 500.
        share_503: the same with 503 SlowDown.
        share_lost: share of requests that are passed on, and whose answer is 500 all the same.
        delay_s: before each request.
        without_conditions: drop the header If-None-Match, as a store that does not know it.
        status: answer each request with this status and code instead, such as (403, "AccessDenied").
        only: methods that fail; empty: all.
    """

    url: str = ""
    share_500: float = 0.0
    share_503: float = 0.0
    share_lost: float = 0.0
    delay_s: float = 0.0
    without_conditions: bool = False
    status: tuple[int, str] | None = None
    only: frozenset[str] = frozenset()
    failed: int = 0
    passed: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  no secret


@contextlib.contextmanager
def faulty_proxy(url: str | None = None, **how: Any) -> Iterator[Faults]:
    """A proxy before an S3 server (None: the shared one) that fails as `Faults` says."""
    faults = Faults(**how)
    target = urlsplit(url or shared().url).netloc

    class Handler(_Handler):
        pass

    Handler.faults, Handler.target = faults, target
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faults.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: Faults
    target: str

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faults = self.faults
        time.sleep(faults.delay_s)
        drawn = faults.random.random() if not faults.only or self.command in faults.only else 1.0
        if faults.status is not None:
            status, code = faults.status
            self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())
        elif drawn < faults.share_500:
            self._answer(500, _BROKEN)
        elif drawn < faults.share_500 + faults.share_503:
            self._answer(503, _SLOW_DOWN)
        else:
            status, headers, content = self._pass_on(body)
            if drawn < faults.share_500 + faults.share_503 + faults.share_lost:
                self._answer(500, _BROKEN)
            else:
                faults.passed += 1
                self._send(status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815  names of the standard library

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        dropped = {"connection", "transfer-encoding", *(["if-none-match"] if self.faults.without_conditions else [])}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        connection = http.client.HTTPConnection(self.target, timeout=60)
        try:
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, content: bytes) -> None:
        self.faults.failed += 1
        self._send(status, [("Content-Type", "application/xml")], content)

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        length = None
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        self.send_header("Content-Length", length or "0" if is_head else str(len(content)))
        self.end_headers()
        if not is_head:
            self.wfile.write(content)
