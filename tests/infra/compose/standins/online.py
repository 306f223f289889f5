"""Stands in for the online service: answers with its version, and refuses settings that it does not know."""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
from pathlib import Path

VERSION = os.environ["VERSION"]
KNOWN = Path("/home/bentoml/bento/src/src/har/settings/_sections.py").read_text(encoding="utf-8")


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer()

    def _answer(self) -> None:
        told = {name: value for name, value in os.environ.items() if name.startswith("HAR_")}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"version": VERSION, "headers": headers, "told": told}).encode()
        self.send_response(503 if self.path == "/readyz" and VERSION == "sick" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


for name in os.environ:
    key = name.removeprefix("HAR_SERVING__").lower()
    if name.startswith("HAR_SERVING__") and key != "hosts" and f"\n    {key}: " not in KNOWN:
        sys.exit(f"{name}: unknown")
server = http.server.ThreadingHTTPServer(("0.0.0.0", 3000), Service)  # noqa: S104  in a container
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
