"""The BentoML service: `bentoml serve bentos.batch.service:Batch`, or the batch bento that `har package` builds."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
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

from bentos import _image, _project
from bentos._page import PAGE
from bentos.batch import Scored, Scorer, delta_samples, parquet_samples
from bentos.batch._http import inside, read_table_request, receive, refusal
from har.errors import HarError

SETTINGS = _project.settings()
MODEL = _project.model(SETTINGS)

PARQUET = "application/vnd.apache.parquet"
VERSION_HEADER = "X-Model-Version"
FEATURES_HEADER = "X-Features"

TIMEOUT_S = 3600
"""For one request, its upload included; the nightly flow's chunks take seconds."""
MAX_CONCURRENCY = 8
"""Requests at once; each holds a few batches in memory and its files on disk."""

Parquet = Annotated[Path, ContentType(PARQUET)]


class Upload(bentoml.IODescriptor):
    """A Parquet file of samples: the form's field `samples`, or the body itself."""

    samples: Parquet

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Upload:
        """Stream the file to disk; a refusal takes its place."""
        try:
            return cls.model_construct(samples=await receive(request, Path(_context().temp_dir)))
        except HarError as error:
            return cls.model_construct(samples=error)


class TableRequest(bentoml.IODescriptor):
    """A Delta table below the mounted folder, and one date of it or (null) all."""

    path: str
    date: dt.date | None = None

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> TableRequest:
        """Read the JSON; a refusal takes the path's place."""
        try:
            return cls.model_construct(**await read_table_request(request))
        except HarError as error:
            return cls.model_construct(path=error, date=None)


@functools.cache
def scorer() -> Scorer:
    """The packaged champion of this process."""
    return Scorer(_project.package(MODEL), SETTINGS)


def data_folder() -> Path:
    """Where mounted tables are looked for: HAR_DATA, or the project's lake."""
    return Path(os.environ.get("HAR_DATA") or SETTINGS.path("lake"))


@bentoml.service(
    name=f"{SETTINGS.project.name}-batch",
    image=_image.image(),
    workers=1,
    traffic={"timeout": TIMEOUT_S, "max_concurrency": MAX_CONCURRENCY},
    http={"host": "127.0.0.1"},
)
class Batch:
    """Samples of wearable sensors in, the lake's predictions out, as Parquet; which model answers: GET /model.

    Refusals are JSON: {"error": {"field", "expected", "got", "remedy"}}, with "row" where one row is at fault.
    """

    package = MODEL

    def __init__(self) -> None:
        """Load and warm up the model: the service is ready after it."""
        scorer()

    @bentoml.api(route="/score", input_spec=Upload)
    async def score(self, samples: Any) -> Parquet:
        """Score a Parquet file: `curl -F samples=@day.parquet -o predictions.parquet http://…/score`.

        Columns: subject and session (text), time (timestamp), the channels in m/s² and rad/s; date and segment may be
        absent, others are ignored. Rows of a session follow one another in order of time, at the model's rate. Values
        in a wrong unit are refused only if they exceed the sensor's full scale. The header X-Features, names of the
        model's features, percent-encoded, with commas between them, adds a column `features`.
        """
        if isinstance(samples, HarError):
            return _response(refusal(samples))
        features = [unquote(name) for name in _context().request.headers.get(FEATURES_HEADER, "").split(",") if name]
        return await _scored(lambda: parquet_samples(samples, SETTINGS), features)

    @bentoml.api(route="/score/table", input_spec=TableRequest)
    async def score_table(self, path: Any, date: dt.date | None = None) -> Parquet:
        """Score a mounted Delta table, partitioned by date and subject: `{"path": "samples", "date": null}`.

        The path is relative to the mounted folder (HAR_DATA). Columns as in /score.
        """
        if isinstance(path, HarError):
            return _response(refusal(path))
        root = data_folder()
        try:
            folder = inside(root, path)
        except HarError as error:
            return _response(refusal(error))
        return await _scored(lambda: delta_samples(folder, SETTINGS, date=date, within=root.resolve()))


class _Abandoned(Exception):
    """Nobody waits for the answer any more."""


async def _scored(samples: Callable[[], Iterator[pl.DataFrame]], features: Sequence[str] = ()) -> Any:
    """Score in a thread, which ends early if the request times out or its client leaves."""
    target = Path(_context().temp_dir) / "predictions.parquet"
    abandoned = threading.Event()

    def check(_: Scored) -> None:
        if abandoned.is_set():
            raise _Abandoned

    work = asyncio.ensure_future(
        asyncio.to_thread(lambda: scorer().score(samples(), target, features=features, progress=check))
    )
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        abandoned.set()
        # The files below are removed with the request: the thread must be through with them first.
        await asyncio.wait([work])
        raise
    except HarError as error:
        return _response(refusal(error))
    return _response(FileResponse(target, media_type=PARQUET, filename=target.name))


def _response(response: Response) -> Any:
    """A ready response in place of the value that the signature documents, which BentoML passes on as it is."""
    response.headers[VERSION_HEADER] = str(scorer().version)
    return response


def _context() -> Any:
    return Batch.context


async def _model(_: Request) -> JSONResponse:
    return JSONResponse(scorer().describe())


async def _page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


Batch.mount_asgi_app(Starlette(routes=[Route("/model", _model), Route("/", _page)]), name="model")
