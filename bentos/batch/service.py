"""The BentoML service: `bentoml serve bentos.batch.service:Batch`, or the batch bento that `har package` builds."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import bentoml
import polars as pl
from bentoml.validators import ContentType
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bentos import _connection, _image, _logs, _project
from bentos._drain import Drain, listener_of_worker
from bentos._front import BENTOML_PATHS, Front
from bentos._page import PAGE
from bentos.batch import Scored, Scorer, delta_samples, parquet_samples
from bentos.batch._headers import FEATURES_HEADER, PARQUET, VERSION_HEADER, WARNINGS_HEADER
from bentos.batch._http import data_folder, inside, read_table_request, receive, refusal
from bentos.origin import SameOrigin
from har.errors import HarError

logger = logging.getLogger("bentoml.har.batch")

SETTINGS = _project.settings()
MODEL = _project.model(SETTINGS)

TIMEOUT_S = 3600
"""For one request, the upload included; the chunks of the nightly job take seconds."""
MAX_CONCURRENCY = 64
"""Requests at the same time, uploads included, which keep their files on disk; further ones are 429."""
SCORED_AT_ONCE = 8
"""Of them, those that are scored; each keeps a few batches in memory. The others wait for their turn."""

Parquet = Annotated[Path, ContentType(PARQUET)]


class Unread(bentoml.IODescriptor):
    """The input of every API method: the request, its body unread. The method reads it, and can answer a refusal."""

    request: Any


class Upload(bentoml.IODescriptor):
    """A Parquet file of samples: the form's field `samples`, or the body itself."""

    samples: Parquet

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Unread:
        """Leave the body to the API method; the fields above are for the documentation."""
        return Unread(request=request)


class TableRequest(bentoml.IODescriptor):
    """A Delta table below the mounted folder, and one date of it or (null) all."""

    path: str
    date: dt.date | None = None

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Unread:
        """Leave the body to the API method; the fields above are for the documentation."""
        return Unread(request=request)


class Service(bentoml.Service[Any]):
    """A BentoML service behind limits of its connections and a list of its paths, for pages of its own origin only."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The application of a worker process."""
        _logs.begin(SETTINGS, "batch")
        _connection.install()
        paths = {*BENTOML_PATHS, "/score", "/score/table", "/model", "/"}
        front = Front(super().to_asgi(is_main), paths=paths, drain=Drain(listener_of_worker()))
        return SameOrigin(_logs.WithRequestId(front), SETTINGS.serving.hosts, short_names=True)


def _documented() -> Parquet:
    """The output that the API methods document; they return responses."""
    raise NotImplementedError


PREDICTIONS = bentoml.IODescriptor.from_output(_documented)


PLACES = asyncio.Semaphore(SCORED_AT_ONCE)


@functools.cache
def scorer() -> Scorer:
    """The packaged champion of this process."""
    return Scorer(_project.package(MODEL), SETTINGS)


@bentoml.service(
    name=f"{SETTINGS.project.name}-batch",
    image=_image.image("batch"),
    service_class=Service,
    workers=1,
    traffic={"timeout": TIMEOUT_S, "max_concurrency": MAX_CONCURRENCY},
    http={"host": "127.0.0.1"},
)
class Batch:
    """Scores samples of wearable sensors: returns predictions as the lake has them, as Parquet. GET /model: the model.

    Refusals are JSON: {"error": {"field", "expected", "got", "remedy"}}, with "row" where one row is at fault.
    """

    package = MODEL

    def __init__(self) -> None:
        """Load and warm up the model: the service is ready after it."""
        scorer()

    @bentoml.api(route="/score", input_spec=Upload, output_spec=PREDICTIONS)
    async def score(self, request: Request) -> Response:
        """Score a Parquet file: `curl -F samples=@day.parquet -o predictions.parquet http://…/score`.

        Columns: subject and session (text), time (timestamp), the channels in m/s² and rad/s; date and segment may be
        absent, others are ignored. Rows of a session follow one another in order of time, at the model's rate. Values
        beyond the sensor's full scale are refused; sessions that are implausible in their unit are named in the header
        X-Warnings by a code, and refused with serving.strict. Windows of which a sensor was off, stuck or at its limit
        are answered "no signal". The header X-Features, names of the model's features, percent-encoded, with commas
        between them, adds a column `features`.
        """
        return await _answer(_score_upload(request))

    @bentoml.api(route="/score/table", input_spec=TableRequest, output_spec=PREDICTIONS)
    async def score_table(self, request: Request) -> Response:
        """Score a mounted Delta table, partitioned by date and subject: `{"path": "samples", "date": null}`.

        The path is relative to the mounted folder (HAR_DATA). Columns as in /score.
        """
        return await _answer(_score_table(request))


service: Any = Batch
"""`Batch` again, typed loosely: the decorator turns the class into a BentoML service, unseen by type checkers."""


async def _answer(work: Awaitable[Response]) -> Response:
    """The response of `work`, or its refusal, with the model's version."""
    try:
        response = await work
    except HarError as error:
        response = refusal(error)
    response.headers[VERSION_HEADER] = str(scorer().version)
    return response


async def _score_upload(request: Request) -> Response:
    path = await receive(request, _temporary_folder())
    features = [unquote(name) for name in request.headers.get(FEATURES_HEADER, "").split(",") if name]
    return await _scored(lambda: parquet_samples(path, SETTINGS), features)


async def _score_table(request: Request) -> Response:
    path, date = await read_table_request(request)
    root = data_folder(SETTINGS)
    folder = inside(root, path)
    return await _scored(lambda: delta_samples(folder, SETTINGS, date=date, within=root.resolve()))


class _AbandonedError(Exception):
    """Nobody waits for the answer any more."""


async def _scored(samples: Callable[[], Iterator[pl.DataFrame]], features: Sequence[str] = ()) -> Response:
    """Score in a thread, in its turn; it ends early if the request times out or its client leaves."""
    async with PLACES:
        return await _scored_now(samples, features)


async def _scored_now(samples: Callable[[], Iterator[pl.DataFrame]], features: Sequence[str]) -> Response:
    target = _temporary_folder() / "predictions.parquet"
    abandoned = threading.Event()

    def check(_: Scored) -> None:
        if abandoned.is_set():
            raise _AbandonedError

    work = asyncio.ensure_future(
        asyncio.to_thread(lambda: scorer().score(samples(), target, features=features, progress=check))
    )
    try:
        done = await asyncio.shield(work)
    except asyncio.CancelledError:
        abandoned.set()
        # The temporary folder is removed with the request: the thread must have ended before.
        await asyncio.wait([work])
        raise
    for text in done.warnings.values():
        logger.warning("%s", text)
    headers = {WARNINGS_HEADER: ",".join(done.warnings)} if done.warnings else {}
    return FileResponse(target, media_type=PARQUET, filename=target.name, headers=headers)


def _temporary_folder() -> Path:
    """A folder that BentoML removes after the request."""
    return Path(service.context.temp_dir)


async def _model(_: Request) -> JSONResponse:
    return JSONResponse(scorer().describe())


async def _page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


service.mount_asgi_app(Starlette(routes=[Route("/model", _model), Route("/", _page)]), name="model")
