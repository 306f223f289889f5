"""The routes of people: who is seen now, one subject, its stream of events, the page `/live`, and the visit to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bentos._drain import STATE
from bentos.online._answering import Answering
from bentos.online._http import answer
from bentos.online._posts import refusing
from bentos.online._visitors import Visitors
from bentos.online.stream import _json, _pages
from bentos.online.stream._day import Day, day_us
from bentos.online.stream._events import Watch, now_us
from bentos.online.stream._hot import Hot
from har.errors import RequestError

_KEPT_S = 1.0
"""An answer about all subjects holds for so long, however many pages are open."""
_PING_S = 2.0
"""A stream says something at least so often: a proxy closes a connection that is silent for longer than a request may
take, and a client that has gone is only noticed then."""
_SEND_S = 10.0
"""A client that takes nothing for so long is left."""
_STREAMS_SHARE = 4
"""One in so many of the requests that a process takes at once may be a stream: a proxy counts them as requests."""
_STALE_IDLES = 3
"""A subject is shown as stale after so many times `stream.idle_s` without a message."""
_UNCACHED = (b"cache-control", b"no-store")

Endpoint = Callable[[Request], Awaitable[Response]]


class LivePages:
    """What people look at; everything is opened when it is first asked for.

    Args:
        answering: whose settings, model and door hold here, too.
    """

    def __init__(self, answering: Answering) -> None:
        settings, metadata = answering.settings, answering.contract.metadata
        self._answering, self._settings = answering, settings
        self.visitors = Visitors(settings, answering.door)
        self._hot = Hot(self._open)
        self.streams, self._most = 0, max(2, answering.serving.max_concurrency // _STREAMS_SHARE)
        self._all: tuple[bytes, bytes | None] = (b"", None)
        self._read_at = -_KEPT_S
        self._reading = asyncio.Lock()
        self._about = {
            "activities": list(metadata.activities),
            "channels": list(metadata.channels),
            "units": list(metadata.units),
            "zone": settings.project.timezone,
            "stale_s": _STALE_IDLES * settings.stream.idle_s,
        }

    def routes(self) -> list[Route]:
        """The routes, for Starlette."""
        files = [self._page(name) for name in _pages.FILES]
        return [
            Route("/subjects", refusing(self._subjects, self._answering)),
            Route("/subjects/{name}", refusing(self._subject, self._answering)),
            Route("/subjects/{name}/live", refusing(self._live, self._answering)),
            Route("/login", refusing(self._login, self._answering), methods=["POST"]),
            Route("/logout", refusing(self._logout, self._answering), methods=["POST"]),
            *files,
        ]

    def close(self) -> None:
        """End the connection to the hot store."""
        self._hot.close()

    def _open(self) -> Any:
        from har.streaming.state import open_hot

        return open_hot(self._settings)

    async def _subjects(self, request: Request, request_id: str) -> Response:
        """All subjects and the ledger; at most one look a second, however many pages are open."""
        self.visitors.source(request.scope, dict(request.scope["headers"]))
        async with self._reading:
            if time.monotonic() - self._read_at >= _KEPT_S:
                self._all = await self._hot.ask(self._look_at_all)
                self._read_at = time.monotonic()
        body, packed = self._all
        if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return _private(answer(200, packed, request_id), (b"content-encoding", b"gzip"))
        return _private(answer(200, body, request_id))

    def _look_at_all(self, store: Any) -> tuple[bytes, bytes | None]:
        rows = [_json.row(state) for state in store.subjects()]
        ledger = {name: value for name, value in store.ledger().items() if name != "subjects"}
        content = {"now_us": now_us(), **self._about, "ledger": ledger, "subjects": rows}
        body = _json.compose(content)
        return body, _json.compressed(body)

    async def _subject(self, request: Request, request_id: str) -> Response:
        self.visitors.source(request.scope, dict(request.scope["headers"]))
        name = request.path_params["name"]
        zone = self._settings.project.zone

        def look(store: Any) -> bytes | None:
            state = store.subject(name)
            if state is None:
                return None
            day = Day(day_us(state.date, zone)[0])
            found = day.add(store.answers(name, since_us=day.since_us))
            shown = {
                "day": _json.band(state, day, zone),
                "answers": _json.recent(found),
                "ledger": _json.counts(store, name),
            }
            return _json.compose({"now_us": now_us(), **self._about, **_json.whole(state), **shown})

        body = await self._hot.ask(look)
        if body is None:
            raise _unknown(name)
        return _private(answer(200, body, request_id))

    async def _live(self, request: Request, request_id: str) -> Response:
        headers = dict(request.scope["headers"])
        self.visitors.source(request.scope, headers)
        name = request.path_params["name"]
        if await self._hot.ask(lambda store: store.subject(name)) is None:
            raise _unknown(name)
        if self.streams >= self._most:
            raise RequestError(
                where="streams",
                expected=f"at most {self._most} open streams of a process",
                got="one more",
                remedy=f"Ask GET /subjects/{name[:64]} now and then, close other pages, or raise serving.workers.",
                status=429,
            )
        from sse_starlette import EventSourceResponse

        drain = request.scope.get("state", {}).get(STATE)

        def may_go_on() -> bool:
            if drain is not None and drain.begun:
                return False
            try:
                self.visitors.source(request.scope, headers)
            except RequestError:  # the visit has ended, or its token was taken away
                return False
            return True

        events = Watch(self._hot, name, self._settings.project.zone, may_go_on).events()
        stream = EventSourceResponse(
            events, ping=_PING_S, sep="\n", send_timeout=_SEND_S, headers={"x-request-id": request_id}
        )
        return _Counted(self, stream)

    async def _login(self, request: Request, request_id: str) -> Response:
        name, cookie = self.visitors.begin(request.scope, dict(request.scope["headers"]))
        return _private(answer(200, _json.compose({"token": name}), request_id), (b"set-cookie", cookie))

    async def _logout(self, request: Request, request_id: str) -> Response:
        cookie = self.visitors.end(request.scope, dict(request.scope["headers"]))
        return _private(answer(200, b"{}", request_id), (b"set-cookie", cookie))

    def _page(self, name: str) -> Route:
        async def page(request: Request, request_id: str) -> Response:
            self.visitors.require_pages(request.scope, dict(request.scope["headers"]))
            body, media = _pages.content(name)
            found = answer(200, body, request_id, media)
            found.raw_headers.extend(_pages.HEADERS)
            return found

        return Route("/live" if name == "live.html" else f"/pages/{name}", refusing(page, self._answering))


class _Counted(Response):
    """A stream that is counted while it is open."""

    def __init__(self, pages: LivePages, stream: Response) -> None:
        self._pages, self._stream = pages, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._pages.streams += 1
        try:
            await self._stream(scope, receive, send)
        finally:
            self._pages.streams -= 1


def _private(response: Response, *headers: tuple[bytes, bytes]) -> Response:
    """The answer with these headers; no cache may keep what it says of people."""
    response.raw_headers.extend((_UNCACHED, *headers))
    return response


def _unknown(name: str) -> RequestError:
    return RequestError(
        where="subject",
        expected="a subject that was heard of within stream.hot.keep_h",
        got=name[:80],
        remedy="GET /subjects lists them.",
        status=404,
    )
