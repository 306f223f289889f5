"""A stand-in for OSV, the database of vulnerabilities: it listens here, and pip-audit asks it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Database:
    """A stand-in for OSV: what it knows, by package, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.known: dict[str, list[str]] = {"django": ["PYSEC-2018-5"]}
        self.silent_about: set[str] = set()
        self.asked: list[str] = []

    def answer(self, query: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = query["package"]["name"]
        self.asked.append(f"{name} {query['version']}")
        if name in self.silent_about:
            return 500, {}
        affected = [
            {
                "package": {"name": name, "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
            }
        ]
        found = [
            {"id": one, "aliases": [f"CVE-{one}"], "summary": "Reads too much", "affected": affected}
            for one in self.known.get(name, [])
        ]
        return 200, {"vulns": found} if found else {}

    def environment(self) -> dict[str, str]:
        """Variables that let pip-audit ask this one, past any proxy."""
        direct = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "")
        return {
            "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
            "PIP_AUDIT_OSV_URL": self.url,
            "NO_PROXY": "127.0.0.1",
            **direct,
        }


@contextmanager
def osv() -> Iterator[Database]:
    """A database on a free port, which knows something about django alone."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = database.answer(query)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    database = Database(f"http://127.0.0.1:{server.server_port}/v1/query")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield database
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
