"""The POST routes: limits of method, concurrency, time and size around a handler, its metrics, and its refusals."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bentos.online._answering import Answering
from bentos.online._http import answer, read_body, refusal, wrong_method
from bentos.online._request_lines import RequestLines
from bentos.online._turns import REFUSALS_S, WORK_S, Turns
from bentos.online._uploads import Uploads
from har import logs
from har.errors import RequestError
from har.log_lines import REQUEST_ID

logger = logging.getLogger("bentoml.har")

_UPLOADS_PER_PLACE = 4
"""Bodies that may be on their way, per request that may be worked on."""
_UPLOAD_BYTES = 64 * 2**20

_REQUEST_ID = re.compile(REQUEST_ID.encode())

SUBJECT, ANSWERED_BY = "har.subject", "har.answered_by"
"""Keys of a request's scope for its log line: whom it is about, and (version, whether a fallback) of the answer."""
_CLOSED = 499
"""In the log alone: the client closed the connection before its answer."""

Headers = dict[bytes, bytes]
Handler = Callable[[bytes, Request, Headers, str], Awaitable[bytes]]


class Post(NamedTuple):
    """A route.

    Attributes:
        path: of the URL, and the route's label in the metrics.
        handler: turns body, request, headers and request id into the answer's body.
        limit: bytes of the largest body.
        media: the body's media type.
        status: of an answer that is no refusal.
        needs_token: of clients that are not on this machine, before anything of the body is read.
        also: further media types, which the handler tells apart.
        smaller: what to do about a body that is too large.
    """

    path: str
    handler: Handler
    limit: int
    media: str
    status: int
    needs_token: bool = False
    also: tuple[str, ...] = ()
    smaller: str = "Send the windows in several requests, or raise serving.max_windows."


class Posts:
    """Answers requests to POST routes, whose limits hold for all of them together.

    `App` calls it ahead of Starlette's middleware and routing, which would add 20 µs to a request's 300 to 400.

    Args:
        answering: what answers.
        lines: gets a line per request; None: nobody logs them.
    """

    def __init__(self, answering: Answering, lines: RequestLines | None = None) -> None:
        self._answering, self._serving, self._lines = answering, answering.serving, lines
        self._active = 0
        self._uploads = Uploads(_UPLOADS_PER_PLACE * self._serving.max_concurrency, _UPLOAD_BYTES)
        self._work, self._refusals = Turns(WORK_S), Turns(REFUSALS_S)

    async def answer(self, route: Post, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer or a refusal; nothing if the client has closed the connection."""
        began = time.perf_counter()
        request = Request(scope, receive, send)
        headers = dict(scope["headers"])
        request_id = request_id_of(headers, self._answering)
        logs.bind(request_id=request_id)  # each request has a context of its own, which ends with it
        try:
            response = await self._within_limits(route, request, headers, request_id)
        except RequestError as error:
            response = refusal(error, request_id)
        except ClientDisconnect:
            self._log(scope, route.path, _CLOSED, time.perf_counter() - began, request_id)
            return
        except Exception:
            logger.exception("request %s", request_id)
            response = refusal(_FAULT, request_id)
        await response(scope, receive, send)
        seconds = time.perf_counter() - began
        self._answering.metrics.request(route.path, response.status_code, seconds)
        self._log(scope, route.path, response.status_code, seconds, request_id)

    def _log(self, scope: Scope, path: str, status: int, seconds: float, request_id: str) -> None:
        if self._lines is not None:
            self._lines.add(path, status, seconds, request_id, scope.get(SUBJECT), scope.get(ANSWERED_BY))

    async def _within_limits(self, route: Post, request: Request, headers: Headers, request_id: str) -> Response:
        if request.method != "POST":
            raise wrong_method(request, "POST")
        if route.needs_token:
            self._answering.door.source(request.scope, headers)
        timeout_s = self._serving.timeout_s
        began = asyncio.get_running_loop().time()
        await self._require_place()
        body = await self._body(route, request, headers)
        await self._require_place()
        self._active += 1
        try:
            # Requests that arrived together are counted before the first of them is worked on: the limit would never be
            # reached otherwise, because the model runs in the event loop's own thread.
            await asyncio.sleep(0)
            await self._work.take()
            async with asyncio.timeout_at(began + timeout_s):
                return answer(route.status, await route.handler(body, request, headers, request_id), request_id)
        except TimeoutError as error:
            raise RequestError(
                where="request",
                expected=f"an answer within {timeout_s:g} s (serving.timeout_s), receiving the body included",
                got="a timeout",
                remedy="Send fewer windows at once, or raise serving.timeout_s.",
                status=504,
            ) from error
        finally:
            self._active -= 1

    async def _body(self, route: Post, request: Request, headers: Headers) -> bytes:
        """The request's body, which holds no place while it is on its way."""
        timeout_s = self._serving.timeout_s
        dropped = False
        try:
            async with asyncio.timeout(timeout_s) as timeout:
                with self._uploads.one(timeout) as upload:
                    try:
                        return await read_body(
                            request,
                            headers,
                            limit=route.limit,
                            media=route.media,
                            also=route.also,
                            smaller=route.smaller,
                            received=lambda size: self._uploads.received(upload, size),
                        )
                    finally:
                        dropped = upload.dropped
        except TimeoutError as error:
            if dropped:
                raise self._uploads.refusal() from error
            raise RequestError(
                where="body",
                expected=f"the whole body within {timeout_s:g} s (serving.timeout_s)",
                got="a part of it",
                remedy="Send fewer windows at once, or raise serving.timeout_s.",
                status=408,
            ) from error

    async def _require_place(self) -> None:
        most = self._serving.max_concurrency
        if self._active >= most:
            await self._refusals.take()
            raise RequestError(
                where="requests",
                expected=f"at most {most} at once (serving.max_concurrency)",
                got="one more",
                remedy="Retry after the seconds in Retry-After, or raise serving.workers.",
                status=429,
            )


def refusing(
    handler: Callable[[Request, str], Awaitable[Response]], answering: Answering
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that gives its handler the request's id, and refuses as all others do."""

    async def endpoint(request: Request) -> Response:
        request_id = request_id_of(dict(request.scope["headers"]), answering)
        try:
            return await handler(request, request_id)
        except RequestError as error:
            return refusal(error, request_id)

    return endpoint


def request_id_of(headers: Headers, answering: Answering) -> str:
    """The client's id, if it is a valid one, or a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return answering.new_id()


_FAULT = RequestError(
    where="server", expected="an answer", got="an internal error", remedy="See the service's log.", status=500
)
