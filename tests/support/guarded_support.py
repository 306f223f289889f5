"""A real HAProxy with the rules of the project, in front of a service that says what it got."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from ports_support import free_port
from serving_support import eventually

from infra.local.third_party import installed
from infra.serving.proxy import Options, Rules, Runtime, Split, configuration, guarded, tls_bind
from infra.serving.proxy.configuration import MAP, STATE

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
def proxied(
    folder: Path, rules: Rules, *, certificate: Path | None = None, local: bool = False, service: int | None = None
) -> Iterator[int]:
    """The proxy with these rules; yields its port, which speaks TLS if there is a certificate.

    In front of the service on this port; by default, of one that says what it got.
    """
    assert HAPROXY is not None
    with echoing() if service is None else nullcontext(service) as behind:
        port, socket_path = free_port(), folder / "proxy.sock"
        address = f"127.0.0.1:{port}"
        options = Options(
            bind=[tls_bind(address, certificate) if certificate else address],
            socket=str(socket_path),
            concurrency=64,
            timeout_s=5.0,
            slots=1,
            lua=False,
            local=local,
        )
        (folder / "haproxy.cfg").write_text(configuration(guarded(options, rules, tls=certificate is not None)))
        (folder / STATE).write_text("1\n")
        Split().write(folder / MAP)
        with (folder / "haproxy.log").open("wb") as log:
            command = [HAPROXY, "-db", "-f", "haproxy.cfg"]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            eventually(socket_path.exists)
            runtime = Runtime.at(socket_path)
            runtime.point("blue", "s1", behind)
            runtime.mode("blue", "s1", "ready")
            eventually(lambda: any(server.up for server in runtime.servers()))
            yield port
        finally:
            process.terminate()
            process.wait()
            said = (folder / "haproxy.log").read_text()
            assert "config :" not in said, said  # a warning about the configuration


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
