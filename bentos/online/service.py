"""The BentoML service: `bentoml serve` in the project's folder, or the online bento that `har package` builds."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException
from bentoml.validators import DType
from pydantic import Field
from starlette.types import ASGIApp

from bentos import _connection, _image, _logs, _project
from bentos._drain import Drain, listener_of_worker
from bentos._front import Front
from bentos.online._answering import Answering
from bentos.online._request_lines import RequestLines
from bentos.online._schema import Accepted, Answer, RequestId, Session, Subject
from bentos.online.app import App
from bentos.origin import SameOrigin
from har import logs
from har.errors import RequestError

_DEPENDENT = "a service of the same bento"
"""The source of feedback that another service passes on; over HTTP, `bentos.online.app` answers."""

SETTINGS = _project.settings()
MODEL = _project.model(SETTINGS)


@functools.cache
def answering() -> Answering:
    """The packaged models of this process."""
    return Answering(_project.package(MODEL), SETTINGS)


class Service(bentoml.Service[Any]):
    """A BentoML service with `bentos.online.app` in front of BentoML's own application.

    `add_asgi_middleware` would put it inside BentoML's spans, timeout and concurrency limit (checked in 1.4.39), and
    half of the service's speed would be lost.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The application of a worker process."""
        # uvicorn would compose a line per request for BentoML's handler, whose level drops it: 50 µs each.
        logging.getLogger("uvicorn.access").propagate = False
        as_json = _logs.begin(SETTINGS, "online")
        _connection.install()
        name_of = logs.subject_names(SETTINGS.logs.subjects, SETTINGS.path("log_key"))
        lines = RequestLines(SETTINGS, as_json=as_json, name_of=name_of)
        app = App(answering(), behind=super().to_asgi(is_main), internal=not is_main, lines=lines)
        front = Front(app, drain=Drain(listener_of_worker()))
        return SameOrigin(front, SETTINGS.serving.hosts, short_names=True)


# No Shape: with it, BentoML's client would reshape nested lists of another shape, such as N × C × T, in silence.
Windows = Annotated[
    np.ndarray,
    DType("float32"),
    Field(
        description=f"N windows of {SETTINGS.length} samples of {', '.join(SETTINGS.sensors.channels)}: "
        f"float32 (N, {SETTINGS.length}, {len(SETTINGS.sensors.channels)}), {', '.join(SETTINGS.sensors.units)}"
    ),
]


@bentoml.service(
    name=f"{SETTINGS.project.name}-online",
    image=_image.image("online"),
    service_class=Service,
    workers=SETTINGS.serving.workers,
    traffic={"timeout": 10, "max_concurrency": 64},
    http={"host": "127.0.0.1"},
)
class Online:
    """Activities of windows from a wrist or phone IMU; `/docs.json` describes the API.

    Over HTTP, `bentos.online.app` answers the paths of these methods. The methods describe the API to BentoML's
    clients, and answer services that depend on this one.
    """

    package = MODEL

    @bentoml.api(route="/predict")
    async def predict(
        self,
        windows: Windows,
        subject: Subject | None = None,
        session: Session | None = None,
        start: str | None = None,
        rate_hz: float | None = None,
    ) -> Answer:
        """Classify windows; `subject`, `session` and `start` (of the first window) are recorded with the answer.

        `rate_hz` is the rate at which they were sampled; another than the model's is refused.
        """
        with _refusals():
            place = {"subject": subject, "session": session, "start": start, "rate_hz": rate_hz}
            found = answering().contract.array(windows, **place)
            return Answer.model_validate(await answering().classify(found, answering().new_id()))

    @bentoml.api(route="/feedback")
    async def feedback(
        self,
        activity: str,
        request_id: RequestId | None = None,
        subject: Subject | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> Accepted:
        """Report the true activity, of a request or of a subject from `start` to `end`."""
        given = {"request_id": request_id, "subject": subject, "start": start, "end": end}
        content = {name: value for name, value in given.items() if value is not None}
        with _refusals():
            found = answering().contract.feedback_fields({"activity": activity, **content})
            return Accepted(feedback_id=answering().record(found, _DEPENDENT))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        raise BentoMLException(str(error), error_code=HTTPStatus(error.status)) from error
