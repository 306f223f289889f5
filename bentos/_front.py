"""In front of a service's application: only known paths, so that no metric's labels grow, and an orderly end."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos._drain import STATE, Drain

BENTOML_PATHS = frozenset(
    (
        *("/schema.json", "/docs.json", "/metrics", "/metrics/", "/healthz", "/livez", "/readyz"),
        *(f"/static_content/{name}" for name in ("swagger-ui.css", "swagger-ui-bundle.js")),
    )
)
"""Paths that BentoML's own application answers, and that something asks for."""

_READY = "/readyz"


class Front:
    """An application behind its `Drain`, and behind a list of its paths.

    BentoML counts requests by path, with about 20 lines of `/metrics` for each that was ever asked for.

    Args:
        app: the application.
        paths: all others are 404; None: the application answers unknown paths itself.
        drain: ends it.
    """

    def __init__(self, app: ASGIApp, *, paths: Collection[str] | None = None, drain: Drain | None = None) -> None:
        self._app, self._paths = app, None if paths is None else frozenset(paths)
        self.drain = drain or Drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer unknown paths, and `/readyz` when the service stops; pass everything else on."""
        if scope["type"] == "lifespan":
            await self._start_and_stop(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif self.drain.begun and scope["path"] == _READY:
            await _send_json(send, 503, {"status": "stopping"})
        elif self._paths is not None and scope["path"] not in self._paths:
            known = ", ".join(sorted(self._paths))
            error = {"field": "path", "expected": f"one of {known}", "got": scope["path"][:80]}
            await _send_json(send, 404, {"error": {**error, "remedy": "See /docs.json."}})
        else:
            await self._app(scope, receive, send)

    async def _start_and_stop(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[STATE] = self.drain

        async def started(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.drain.install()
            await send(message)

        await self._app(scope, receive, started)


async def _send_json(send: Send, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
