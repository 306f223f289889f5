"""A real HAProxy with the rules of the project, in front of a service that says what it got."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving_support import eventually

from infra.local.third_party import installed
from infra.serving.proxy import _rules as rules
from infra.serving.proxy._tls import bind_line

HAPROXY = installed("haproxy")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with method, path, headers and size of the body."""

    protocol_version = "HTTP/1.1"
    server_version = "Secret/1.2.3"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(size)
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        got = {name.lower(): value for name, value in self.headers.items()}
        content = json.dumps({"path": self.path, "headers": got, "size": len(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, address: object) -> None:
        """The proxy closes connections of requests that it refuses half-way."""


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextmanager
def echoing() -> Iterator[int]:
    """The service; yields its port."""
    server = _Server(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def guarded(
    folder: Path, limits: rules.Rules, *, certificate: Path | None = None, further: Sequence[str] = ()
) -> Iterator[int]:
    """The proxy with these limits; yields its port."""
    assert HAPROXY is not None
    with echoing() as behind:
        port = free_port()
        part = "\n    ".join
        text = f"""global
    maxconn 500
    {part(rules.global_lines())}
defaults
    mode http
    timeout connect 1s
    timeout server 5s
    {part([*rules.timeout_lines(), *rules.error_lines()])}
{chr(10).join(rules.sections())}
frontend online
    {bind_line(f"127.0.0.1:{port}", certificate)}
    {part([*rules.frontend_lines(limits, tls=certificate is not None), *further])}
    default_backend online
backend online
    server one 127.0.0.1:{behind}
"""
        path = folder / "haproxy.cfg"
        path.write_text(text)
        with (folder / "haproxy.log").open("wb") as log:
            process = subprocess.Popen([HAPROXY, "-db", "-f", str(path)], stdout=log, stderr=log)
        try:
            eventually(lambda: _listens(port))
            yield port
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def speak(port: int, text: bytes, timeout_s: float = 15.0) -> bytes:
    """Send bytes as they are; everything that comes until the proxy closes the connection or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(text)
        got = b""
        try:
            while part := connection.recv(65536):
                got += part
        except TimeoutError:
            pass
        return got
