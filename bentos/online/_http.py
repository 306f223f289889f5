"""Reading bodies and composing answers, with a request id on every one."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from har.errors import RequestError

JSON = "application/json"

_RETRY_AFTER = (b"retry-after", b"1")


async def read_body(
    request: Request,
    headers: dict[bytes, bytes],
    *,
    limit: int,
    media: str,
    also: tuple[str, ...],
    smaller: str,
    received: Callable[[int], None],
) -> bytes:
    """The whole body, if it has this media type and is no larger than the limit; never more than that is held.

    `received` is called with the size of every part; `also` has further media types, `smaller` says what to do about a
    body that is too large.

    Raises:
        RequestError: another type, or too large.
        ClientDisconnect: the client closed the connection before the body was complete.
    """
    given = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if given != media and given not in also:
        raise RequestError(
            where="Content-Type",
            expected=media,
            got=given[:80] or "none",
            remedy=f"Set the header Content-Type: {media}.",
            status=415,
        )
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise RequestError(
            where="Content-Encoding",
            expected="an uncompressed body",
            got=encoding.decode("latin-1")[:80],
            remedy="Send the windows as they are; POST /predict/raw takes a third of the bytes.",
            status=415,
        )
    announced = headers.get(b"content-length", b"0")
    _require_size(int(announced) if announced.isdigit() else 0, limit, smaller)
    # Not `request.stream()`: the event loop registers every asynchronous generator, which costs 10 µs per request.
    parts, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        _require_size(size, limit, smaller)
        received(len(parts[-1]))
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _require_size(size: int, limit: int, smaller: str) -> None:
    if size > limit:
        raise RequestError(
            where="body",
            expected=f"{limit} bytes at most",
            got=f"{size} or more",
            remedy=smaller,
            status=413,
        )


def answer(status: int, body: bytes, request_id: str, media: str = JSON) -> Response:
    """An answer; the server leaves the body out where HEAD asks for the headers only."""
    response = Response(body, status, media_type=media)
    response.raw_headers.append((b"x-request-id", request_id.encode()))
    if status in (429, 503):
        response.raw_headers.append(_RETRY_AFTER)
    return response


def refusal(error: RequestError, request_id: str) -> Response:
    """What was expected, what came, and the remedy."""
    parts = {"field": error.where, "expected": error.expected, "got": error.got, "remedy": error.remedy}
    response = answer(error.status, orjson.dumps({"error": parts, "request_id": request_id}), request_id)
    if error.status == 405:
        response.headers["allow"] = error.expected
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def wrong_method(request: Request, allowed: str) -> RequestError:
    """The refusal of a method that a route does not take."""
    remedy = f"Use {allowed}."
    return RequestError(where="method", expected=allowed, got=request.method, remedy=remedy, status=405)
