"""What a service logs: JSON lines where no terminal shows them, BentoML's and uvicorn's lines among them."""

from __future__ import annotations

import re
import secrets

from bentoml._internal import log as bentoml_log
from starlette.types import ASGIApp, Receive, Scope, Send

from har import logs
from har.log_lines import REQUEST_ID
from har.settings import Settings

_REQUEST_ID = re.compile(REQUEST_ID.encode())


def begin(settings: Settings, service: str) -> bool:
    """Let this process write JSON lines if `logs.format` or its output asks for it; whether it does.

    Args:
        settings: `logs`.
        service: the value of the key `service`.
    """
    if not logs.wants_json(settings.logs.format):
        return False
    # BentoML sets up logging from this table, in a worker before this call and in other processes after it.
    bentoml_log.SERVER_LOGGING_CONFIG["formatters"]["traced"] = {"()": logs.Formatter}
    logs.start(service=service)
    return True


class WithRequestId:
    """An application whose log lines carry the request's id: the header `X-Request-ID`, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        name = given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        with logs.bound(request_id=name):
            await self._app(scope, receive, send)
