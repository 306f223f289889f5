"""What stands in front of Prefect's and MLflow's pages: a login, and a policy for the browser that shows them."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection, MutableMapping
from typing import Any

from bentos.origin import Application, Receive, Scope, Send

_OPEN = ("/health", "/version")


class Login:
    """An ASGI application in front of another one: a browser asks its user for the login, by HTTP's own dialogue."""

    def __init__(self, application: Application, login: str) -> None:
        self._application = application
        self._expected = b"Basic " + base64.b64encode(login.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it has the login or asks for the server's health; otherwise answer 401."""
        if scope["type"] == "lifespan" or scope["path"] in _OPEN:
            await self._application(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if hmac.compare_digest(given, self._expected):
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = b"The login is in the file that `har up` names.\n"
            headers = [
                (b"www-authenticate", b'Basic realm="MLflow of this project", charset="UTF-8"'),
                (b"content-type", b"text/plain"),
                (b"content-length", str(len(body)).encode()),
            ]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": body})


class OwnSite:
    """An ASGI application in front of another one whose pages load from, send to and are framed by this site only.

    Prefect's page would report its use to a third party from the browser, where no setting of the server reaches.

    Args:
        application: has the pages.
        api: further addresses that the pages send to.
    """

    def __init__(self, application: Application, api: Collection[str] = ()) -> None:
        self._application = application
        sent_to = " ".join(["'self'", *api])
        self._policy = f"connect-src {sent_to}; form-action 'self'; frame-ancestors 'self'".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the policy to the answer."""

        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", self._policy)]
            await send(message)

        await self._application(scope, receive, send_with_policy if scope["type"] == "http" else send)
