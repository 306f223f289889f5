"""The routes of the page `/label`, in front of the store that all replicas share.

Reading and writing wait for a disk, so they are done in a thread, never in the event loop's own.
"""

from __future__ import annotations

import asyncio
import functools
import html
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.online._answering import Answering
from bentos.online._http import JSON, answer
from bentos.online._posts import Headers, Post, refusing
from bentos.online._visitors import Visitors
from bentos.online.label._bodies import Answered, Next, Skip, Undo, compose, read
from bentos.online.stream import PAGE_HEADERS
from har.errors import RequestError, StorageError
from har.labelling import Store, agreement, store_path

FILES = {"label.css": "text/css", "label.js": "text/javascript"}
"""Served at `/pages/NAME`, beside the page itself."""
PATHS = ("/label", "/label/agreement", "/label/next", "/label/answers", "/label/skip", "/label/undo")
_FOLDER = Path(__file__).resolve().parents[1] / "pages"
_BODY_BYTES = 4096
_THREADS = 2
_NOTHING = "Nothing was prepared: har labels --prepare, or a night of monitoring, brings windows here."
T = TypeVar("T")


class LabelPage:
    """The page and its answers.

    Args:
        answering: whose settings and request ids hold here, too.
        visitors: who may open the page, and with which token.
    """

    def __init__(self, answering: Answering, visitors: Visitors) -> None:
        settings = answering.settings
        self._answering, self._visitors = answering, visitors
        self._activities = settings.activities.all
        self._store = Store(store_path(settings.path("journal")))
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="label")

    def posts(self) -> list[Post]:
        """The routes that take something."""
        handlers = {"next": self._next, "answers": self._answers, "skip": self._skip, "undo": self._undo}
        return [Post(f"/label/{name}", handler, _BODY_BYTES, JSON, 200) for name, handler in handlers.items()]

    def routes(self) -> list[Route]:
        """The routes that are read, for Starlette."""
        page = (_FOLDER / "label.html").read_text(encoding="utf-8")
        activities = html.escape(orjson.dumps(list(self._activities)).decode(), quote=True)
        files = {name: (_FOLDER / name).read_bytes() for name in FILES}
        return [
            Route("/label", self._file(page.replace("%ACTIVITIES%", activities).encode(), "text/html")),
            Route("/label/agreement", refusing(self._agreement, self._answering)),
            *(Route(f"/pages/{name}", self._file(files[name], media)) for name, media in FILES.items()),
        ]

    def close(self) -> None:
        """End the threads, once what they are at is stored."""
        self._pool.shutdown()

    async def _next(self, body: bytes, request: Request, headers: Headers, _: str) -> bytes:
        source = self._visitors.source(request.scope, headers)
        return await self._view(read(body, Next).labeller, source)

    async def _answers(self, body: bytes, request: Request, headers: Headers, _: str) -> bytes:
        source = self._visitors.source(request.scope, headers)
        given = read(body, Answered).given(source, self._activities)
        await self._ask(functools.partial(self._store.answer, given))
        return await self._view(given.labeller, source)

    async def _skip(self, body: bytes, request: Request, headers: Headers, _: str) -> bytes:
        source = self._visitors.source(request.scope, headers)
        skip = read(body, Skip)
        await self._ask(functools.partial(self._store.skip, skip.labeller, skip.task))
        return await self._view(skip.labeller, source)

    async def _undo(self, body: bytes, request: Request, headers: Headers, _: str) -> bytes:
        source = self._visitors.source(request.scope, headers)
        undo = read(body, Undo)
        task = await self._ask(functools.partial(self._store.undo, undo.labeller, undo.answer, source))

        def view() -> bytes:
            return compose(task, self._store.progress(undo.labeller), self._store.recent(undo.labeller), source)

        return await self._ask(view)

    async def _view(self, labeller: str, source: str) -> bytes:
        def view() -> bytes:
            progress = self._store.progress(labeller)
            why = "" if progress.done + progress.left else _NOTHING
            task = None if why else self._store.next(labeller)
            return compose(task, progress, self._store.recent(labeller), source, why)

        return await self._ask(view)

    async def _agreement(self, request: Request, request_id: str) -> Response:
        self._visitors.source(request.scope, dict(request.scope["headers"]))
        found = await self._ask(lambda: agreement(self._store.answers()))
        content = {**vars(found), "pairs": [vars(pair) for pair in found.pairs], "disputed": len(found.disputed)}
        response = answer(200, orjson.dumps(content), request_id)
        response.headers["cache-control"] = "no-store"
        return response

    async def _ask(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)
        except StorageError as error:
            raise RequestError(
                where="store",
                expected="a place for the answer",
                got=error.got or str(error),
                remedy="Send it again after the seconds in Retry-After: the same id counts once.",
                status=503,
            ) from error

    def _file(self, content: bytes, media: str) -> Callable[[Request], Awaitable[Response]]:
        async def file(request: Request, request_id: str) -> Response:
            self._visitors.require_pages(request.scope, dict(request.scope["headers"]))
            found = answer(200, content, request_id, f"{media}; charset=utf-8")
            found.raw_headers.extend(PAGE_HEADERS)
            return found

        return refusing(file, self._answering)
