"""The online API as a Starlette application, in front of BentoML's own.

BentoML's layers cost more than the model does: a schema rebuilt per request, spans, and a timeout whose timers keep
every request alive. So this application answers windows and feedback itself, with request ids, limits, log and metrics
of its own; it passes a few paths (`/schema.json`, `/metrics`, `/healthz`, the page's files) on to BentoML's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos._front import BENTOML_PATHS
from bentos._page import PAGE
from bentos.online._answering import Answering
from bentos.online._contract import Windows
from bentos.online._http import JSON, answer, refusal, wrong_method
from bentos.online._openapi import describe
from bentos.online._posts import ANSWERED_BY, SUBJECT, Headers, Post, Posts, request_id_of
from bentos.online._request_lines import RequestLines
from bentos.online.label import LabelPage
from bentos.online.stream import LivePages, Samples
from har.errors import HarError, RequestError

logger = logging.getLogger("bentoml.har")

_FLUSH_S = 0.25
_FEEDBACK_BYTES = 16 * 1024
_METRICS = ("/metrics", "/metrics/")
_HTML = "text/html; charset=utf-8"
_MARKDOWN = "text/markdown; charset=utf-8"
_OCTETS = "application/octet-stream"


class App(Starlette):
    """The application of one worker process.

    Args:
        answering: its models, log and metrics; they start and stop with the application.
        behind: answers the paths of BentoML; None: they are 404 as all other unknown ones.
        internal: only another service of the same bento calls this one. BentoML then pickles windows and feedback, so
            `behind` answers them too, and all unknown paths.
        lines: gets a line per request to a POST route; None: nobody logs them.
    """

    def __init__(
        self,
        answering: Answering,
        *,
        behind: Starlette | None = None,
        internal: bool = False,
        lines: RequestLines | None = None,
    ) -> None:
        self.answering, self._behind, self._lines = answering, behind, lines
        contract, tokens = answering.contract, answering.serving.predict_token
        self._live = LivePages(answering)
        self._label = LabelPage(answering, self._live.visitors)
        posts = (
            Post("/predict", self._predict, contract.json_bytes, JSON, 200, tokens),
            Post("/predict/raw", self._predict_raw, contract.raw_bytes, _OCTETS, 200, tokens),
            Post("/feedback", self._feedback, _FEEDBACK_BYTES, JSON, 202, needs_token=True),
            *self._label.posts(),
        )
        self._samples = Samples(answering)
        # Devices wait for a disk: they must not take the places of those who wait for a model.
        groups = ((Posts(answering, lines), posts), (Posts(answering, lines), self._samples.posts()))
        self._routes = {} if internal else {post.path: (group, post) for group, of in groups for post in of}
        routes = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/model", self._constant(orjson.dumps(answering.description))),
            Route("/model/card", self._card),
            Route("/docs.json", self._constant(orjson.dumps(describe(contract, version=answering.version)))),
            Route("/", self._constant(PAGE, _HTML)),
        ]
        if not internal:
            routes += [*self._live.routes(), *self._label.routes()]
        if behind is not None:
            page = _MetricsPage(answering, behind)
            routes += [Route(path, page, methods=["GET"]) for path in _METRICS]
            own = {route.path for route in routes}
            routes += [Route(path, behind, methods=["GET"]) for path in sorted(BENTOML_PATHS - own)]
        super().__init__(
            routes=routes, exception_handlers={HTTPException: self._refuse_route}, lifespan=self._start_and_stop
        )
        self.router.redirect_slashes = False
        if behind is not None and internal:
            self.router.default = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        found = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if found is not None:
            await found[0].answer(found[1], scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _start_and_stop(self, _: Starlette) -> AsyncIterator[None]:
        try:
            self.answering.start()
        except HarError as error:
            logger.critical("%s", error)
            raise
        flushing = asyncio.create_task(self._flush_metrics())
        try:
            if self._behind is None:
                yield
            else:
                async with self._behind.router.lifespan_context(self._behind):
                    yield
        finally:
            flushing.cancel()
            await self._samples.close()
            self._live.close()
            self._label.close()
            self.answering.stop()
            if self._lines is not None:
                self._lines.write()

    async def _flush_metrics(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.answering.metrics.flush()
            if self._lines is not None:
                await self._lines.flush()

    async def _predict(self, body: bytes, request: Request, headers: Headers, request_id: str) -> bytes:
        return await self._classify(self.answering.contract.json(body), request, request_id)

    async def _predict_raw(self, body: bytes, request: Request, headers: Headers, request_id: str) -> bytes:
        windows = self.answering.contract.raw(body, request.scope["query_string"], headers.get(b"x-shape"))
        return await self._classify(windows, request, request_id)

    async def _classify(self, windows: Windows, request: Request, request_id: str) -> bytes:
        request.scope[SUBJECT] = windows.subject
        answer = await self.answering.classify(windows, request_id)
        request.scope[ANSWERED_BY] = (answer["model_version"], answer["fallback"])
        return orjson.dumps(answer)

    async def _feedback(self, body: bytes, request: Request, headers: Headers, request_id: str) -> bytes:
        answering = self.answering
        source = answering.door.source(request.scope, headers)
        feedback = answering.contract.feedback(body)
        request.scope[SUBJECT] = feedback.subject
        return orjson.dumps({"feedback_id": answering.record(feedback, source)})

    async def _livez(self, request: Request) -> Response:
        return answer(200, b'{"status":"alive"}', self._request_id(request))

    async def _readyz(self, request: Request) -> Response:
        if self.answering.ready:
            return answer(200, b'{"status":"ready"}', self._request_id(request))
        return answer(503, b'{"status":"warming up"}', self._request_id(request))

    async def _card(self, request: Request) -> Response:
        if self.answering.card is not None:
            return answer(200, self.answering.card, self._request_id(request), _MARKDOWN)
        missing = RequestError(
            where="/model/card",
            expected="a package with the model's card",
            got="one that an older release made",
            remedy="Package the version again: har package.",
            status=404,
        )
        return refusal(missing, self._request_id(request))

    def _constant(self, content: bytes, media: str = JSON) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return answer(200, content, self._request_id(request), media)

        return endpoint

    async def _refuse_route(self, request: Request, error: Exception) -> Response:
        """Answer what Starlette's routing raises: 405 for another method, 404 for an unknown path."""
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = sorted((error.headers or {}).get("Allow", "GET, HEAD").split(", "))
            return refusal(wrong_method(request, ", ".join(allowed)), self._request_id(request))
        known = ", ".join([*self._routes, *(route.path for route in self.routes if isinstance(route, Route))])
        unknown = RequestError(
            where="path",
            expected=f"one of {known}",
            got=request.scope["path"][:80],
            remedy="See /docs.json.",
            status=404,
        )
        return refusal(unknown, self._request_id(request))

    def _request_id(self, request: Request) -> str:
        return request_id_of(dict(request.scope["headers"]), self.answering)


class _MetricsPage:
    """BentoML's page of metrics, brought up to date first."""

    def __init__(self, answering: Answering, behind: ASGIApp) -> None:
        self._answering, self._behind = answering, behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._answering.metrics.flush()
        await self._behind(scope, receive, send)
