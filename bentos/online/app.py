"""The online API as a bare ASGI application, in front of BentoML's own.

BentoML's layers cost more than the model does: a schema rebuilt per request, spans, and a timeout whose timers keep
every request alive. So windows and feedback are answered here, with request ids, limits, log and metrics of their
own; everything else (pages, `/metrics`, `/healthz`) goes through to BentoML.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import orjson
from prometheus_client import REGISTRY, CollectorRegistry

from bentos._page import PAGE
from bentos.online._contract import REQUEST_ID, Contract, Windows
from bentos.online._guard import Guard
from bentos.online._http import (
    JSON,
    Asgi,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    answer,
    read_body,
    refuse,
    wrong_method,
)
from bentos.online._journal import Journal
from bentos.online._metrics import Metrics
from bentos.online._models import describe_models, load
from bentos.online._openapi import describe
from bentos.online._shadow import Shadow
from har.errors import HarError, RequestError
from har.inference import Package, granted_cores
from har.settings import Settings

logger = logging.getLogger("bentoml.har")

_FLUSH_S = 0.25
_MEDIA = {"/": b"text/html; charset=utf-8"}
_INLINE_WINDOWS = 16
"""Up to so many windows a hop to a thread takes longer than the inference, which would not be beside it anyway."""
_REQUEST_ID = re.compile(REQUEST_ID.encode())


def build(
    package: Package, settings: Settings, *, behind: Asgi | None = None, registry: CollectorRegistry = REGISTRY
) -> App:
    """The application over a package.

    Args:
        package: champion, previous, shadow and rule.
        settings: `serving`, and where the prediction log goes.
        behind: answers what this application does not; None: 404.
        registry: where metrics are announced.

    Raises:
        ModelError: a model file that cannot be served.
        ModelMismatchError: one that is not for the champion's windows.
    """
    return App(package, settings, behind, registry)


class App:
    """See `build`; one per worker process."""

    def __init__(self, package: Package, settings: Settings, behind: Asgi | None, registry: CollectorRegistry) -> None:
        serving = settings.serving
        models = load(package)
        champion = models["champion"]
        metadata = champion.classifier.metadata
        self._metrics = Metrics(metadata.activities, registry)
        for role, model in models.items():
            own = model.classifier.metadata
            self._metrics.model(role, model.version, own.data_version, own.trained_at)
        self._guard = Guard(
            champion,
            previous=models.get("previous"),
            rule=package.rule,
            deadline_s=serving.deadline_ms / 1000,
            failures=serving.breaker_failures,
            pause_s=serving.breaker_pause_s,
            metrics=self._metrics,
        )
        self._journal = Journal(
            settings.path("journal"),
            queue=serving.log_queue,
            rotate_bytes=1e6 * serving.log_rotate_mb,
            rotate_s=serving.log_rotate_s,
            metrics=self._metrics,
        )
        self._shadow = None
        if "shadow" in models and serving.shadow_share > 0:
            self._shadow = Shadow(
                models["shadow"],
                share=serving.shadow_share,
                deadline_s=serving.deadline_ms / 1000,
                journal=self._journal,
                metrics=self._metrics,
            )
        self._contract = Contract(metadata, max_windows=serving.max_windows)
        self._serving, self._behind = serving, behind
        self._pool = ThreadPoolExecutor(granted_cores(), thread_name_prefix="inference")
        self._active, self._ready = 0, False
        self._prefix, self._count = secrets.token_hex(6), 0
        self._length_us, self._stride_us = (
            round(1e6 * samples / metadata.rate_hz) for samples in (metadata.length, metadata.stride)
        )
        self._model = orjson.dumps(describe_models(models, max_windows=serving.max_windows))
        self._openapi = orjson.dumps(describe(metadata, version=package.version, max_windows=serving.max_windows))
        self._posts = {
            "/predict": (self._predict, self._contract.json_bytes, b"application/json"),
            "/predict/raw": (self._predict_raw, self._contract.raw_bytes, b"application/octet-stream"),
            "/feedback": (self._feedback, 16 * 1024, b"application/json"),
        }
        self._gets = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/model": lambda: (200, self._model),
            "/docs.json": lambda: (200, self._openapi),
            "/": lambda: (200, PAGE),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] == "http":
            path = scope["path"]
            if path in self._posts:
                return await self._post(path, scope, receive, send)
            if path in self._gets:
                return await self._get(path, scope, send)
            if path.rstrip("/") == "/metrics":
                self.flush()
                if scope["method"] not in ("GET", "HEAD"):
                    error = wrong_method(scope, "GET, HEAD")
                    return await refuse(send, error, self._request_id(dict(scope["headers"])))
            if self._behind is None:
                return await self._unknown(scope, send)
        elif scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        if self._behind is not None:
            await self._behind(scope, receive, send)
        return None

    def start(self) -> None:
        """Warm up, start the log, and make the garbage collector leave alone what is here to stay."""
        self._guard.warm_up()
        self._journal.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 50, 1000)
        self._ready = True

    def flush(self) -> None:
        """Bring the metrics up to this moment; the service does so by itself four times a second."""
        self._metrics.flush()

    def stop(self) -> None:
        """Finish the log and the metrics."""
        self.flush()
        self._ready = False
        self._pool.shutdown()
        if self._shadow is not None:
            self._shadow.stop()
        self._journal.stop()

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.start()
        except HarError as error:
            # Without this word, uvicorn would take it that nothing needs starting, and serve.
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        flushing = asyncio.ensure_future(self._flush_for_ever())
        try:
            if self._behind is not None:
                await self._behind(scope, receive, send)
                return
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            flushing.cancel()
            self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.flush()

    async def _post(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = self._request_id(headers)
        status = 200
        try:
            status, body = await self._limited(path, scope, headers, receive, request_id)
            await answer(send, status, body, request_id)
        except RequestError as error:
            status = error.status
            await refuse(send, error, request_id)
        except ClientGoneError:
            return
        except Exception:
            logger.exception("request %s", request_id)
            status, remedy = 500, "See the service's log."
            fault = RequestError(where="server", expected="an answer", got="a fault", remedy=remedy, status=status)
            await refuse(send, fault, request_id)
        self._metrics.request(path, status, time.perf_counter() - began)

    async def _limited(
        self, path: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request_id: str
    ) -> tuple[int, bytes]:
        """Answer a request within the limits of method, concurrency, time and size."""
        handler, limit, media = self._posts[path]
        if scope["method"] != "POST":
            raise wrong_method(scope, "POST")
        serving = self._serving
        if self._active >= serving.max_concurrency:
            raise RequestError(
                where="requests",
                expected=f"{serving.max_concurrency} at once at most",
                got="one more",
                remedy="Come back after Retry-After seconds, or raise serving.workers.",
                status=429,
            )
        self._active += 1
        try:
            async with asyncio.timeout(serving.timeout_s):
                # Requests that came in together are counted before the first of them is worked on: so there is
                # something to refuse, although the model runs in the loop's own thread.
                await asyncio.sleep(0)
                content = await read_body(headers, receive, limit, media)
                return await handler(content, scope, headers, request_id)
        except TimeoutError as error:
            raise RequestError(
                where="request",
                expected=f"to be done within {serving.timeout_s:g} s, its body's arrival included",
                got="more",
                remedy="Send fewer windows at once, or raise serving.timeout_s.",
                status=504,
            ) from error
        finally:
            self._active -= 1

    async def _get(self, path: str, scope: Scope, send: Send) -> None:
        request_id = self._request_id(dict(scope["headers"]))
        if scope["method"] in ("GET", "HEAD"):
            status, body = self._gets[path]()
            return await answer(
                send, status, body, request_id, head=scope["method"] == "HEAD", media=_MEDIA.get(path, JSON)
            )
        return await refuse(send, wrong_method(scope, "GET, HEAD"), request_id)

    async def _unknown(self, scope: Scope, send: Send) -> None:
        request_id = self._request_id(dict(scope["headers"]))
        known = ", ".join([*self._posts, *self._gets])
        got, remedy = scope["path"][:80], "See /docs.json."
        error = RequestError(where="path", expected=f"one of {known}", got=got, remedy=remedy, status=404)
        await refuse(send, error, request_id, head=scope["method"] == "HEAD")

    async def _predict(
        self, body: bytes, scope: Scope, headers: dict[bytes, bytes], request_id: str
    ) -> tuple[int, bytes]:
        return await self._classify(self._contract.json(body), request_id)

    async def _predict_raw(
        self, body: bytes, scope: Scope, headers: dict[bytes, bytes], request_id: str
    ) -> tuple[int, bytes]:
        shape = headers.get(b"x-shape")
        text = None if shape is None else shape.decode("latin-1")
        return await self._classify(self._contract.raw(body, scope["query_string"], text), request_id)

    async def _feedback(
        self, body: bytes, scope: Scope, headers: dict[bytes, bytes], request_id: str
    ) -> tuple[int, bytes]:
        feedback = self._contract.feedback(body)
        feedback_id = self._own_id()  # a client may give several feedbacks the same request id
        line = {
            "kind": "feedback",
            "feedback_id": feedback_id,
            "received_us": time.time_ns() // 1000,
            "activity": feedback.activity,
            "request_id": feedback.request_id,
            "subject": feedback.subject,
            "start_us": feedback.start_us,
            "end_us": feedback.end_us,
        }
        if not self._journal.append(line):
            raise RequestError(
                where="log",
                expected="room in the prediction log",
                got="none",
                remedy="Send the feedback again after Retry-After seconds.",
                status=503,
            )
        return 202, orjson.dumps({"feedback_id": feedback_id})

    async def _classify(self, windows: Windows, request_id: str) -> tuple[int, bytes]:
        received_us = time.time_ns() // 1000
        values = windows.values
        if len(values) <= _INLINE_WINDOWS:
            found = self._guard.predict(values)
        else:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._guard.predict, values)
        metadata = self._contract.metadata
        names = metadata.activities
        rows = found.probabilities.tolist()
        confidence = [max(row) for row in rows]
        activities = [names[row.index(value)] for row, value in zip(rows, confidence, strict=True)]
        abstained = [value < metadata.abstain_below for value in confidence]
        content = orjson.dumps(
            {
                "request_id": request_id,
                "model_version": found.version,
                "fallback": found.fallback is not None,
                "predictions": [
                    {
                        "activity": activity,
                        "confidence": value,
                        "abstained": unsure,
                        "probabilities": dict(zip(names, row, strict=True)),
                    }
                    for activity, value, unsure, row in zip(activities, confidence, abstained, rows, strict=True)
                ],
            }
        )
        self._metrics.windows(activities, confidence, sum(abstained))
        start_us = windows.start_us
        if start_us is None:
            # Without a word from the client, the last window has just ended.
            start_us = received_us - self._length_us - (len(values) - 1) * self._stride_us
        self._journal.append(
            {
                "kind": "prediction",
                "request_id": request_id,
                "received_us": received_us,
                "subject": windows.subject,
                "session": windows.session,
                "start_us": start_us,
                "stride_us": self._stride_us,
                "length_us": self._length_us,
                "model_version": found.version,
                "fallback": found.fallback,
                "ms": round(found.ms, 3),
                "activity": activities,
                "confidence": confidence,
                "abstained": abstained,
                "features": found.features,
            }
        )
        if self._shadow is not None and found.fallback is None:
            self._shadow.offer(values, activities, request_id=request_id, received_us=received_us)
        return 200, content

    def _livez(self) -> tuple[int, bytes]:
        return 200, b'{"status":"alive"}'

    def _readyz(self) -> tuple[int, bytes]:
        return (200, b'{"status":"ready"}') if self._ready else (503, b'{"status":"warming up"}')

    def _request_id(self, headers: dict[bytes, bytes]) -> str:
        """The client's, if it is a plain one, or one of our own."""
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return self._own_id()

    def _own_id(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count:x}"
