"""Reading and answering HTTP over bare ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from har.errors import RequestError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"

_RETRY = ((b"retry-after", b"1"),)
_EXTRA = {429: _RETRY, 503: _RETRY}


class ClientGoneError(Exception):
    """The client hung up before its request was complete."""


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit: int, media: bytes) -> bytes:
    """The whole body, if it is of the right type and no larger than the limit; it is never held beyond that."""
    given = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if given != media:
        raise RequestError(
            where="Content-Type",
            expected=media.decode(),
            got=given.decode("latin-1")[:80] or "none",
            remedy=f"Set the header Content-Type: {media.decode()}.",
            status=415,
        )
    announced = headers.get(b"content-length", b"0")
    size = int(announced) if announced.isdigit() else 0
    parts = []
    more = True
    while more:
        if size > limit:
            raise RequestError(
                where="body",
                expected=f"{limit} bytes at most",
                got=f"{size} or more",
                remedy="Send the windows in several requests, or raise serving.max_windows.",
                status=413,
            )
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size = max(size, sum(map(len, parts)))
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def answer(
    send: Send,
    status: int,
    body: bytes,
    request_id: str,
    *,
    head: bool = False,
    allow: str = "",
    media: bytes = JSON,
) -> None:
    """Send an answer; to a HEAD request its headers only."""
    headers = [
        (b"content-type", media),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *_EXTRA.get(status, ()),
    ]
    if allow:
        headers.append((b"allow", allow.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def refuse(send: Send, error: RequestError, request_id: str, *, head: bool = False) -> None:
    """Send what was expected, what came, and the way out."""
    parts = {"field": error.where, "expected": error.expected, "got": error.got, "remedy": error.remedy}
    body = orjson.dumps({"error": parts, "request_id": request_id})
    allow = error.expected if error.status == 405 else ""
    await answer(send, error.status, body, request_id, head=head, allow=allow)


def wrong_method(scope: Scope, allowed: str) -> RequestError:
    """The refusal of another method than the allowed ones."""
    remedy = f"Ask with {allowed}."
    return RequestError(where="method", expected=allowed, got=scope["method"], remedy=remedy, status=405)
