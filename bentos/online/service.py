"""The BentoML service: `bentoml serve` in the project's folder, or the online bento that `har package` builds."""

from __future__ import annotations

import logging
from typing import Any

from _bentoml_sdk import Service

from bentos import _image, _project
from bentos.online import app

SETTINGS = _project.settings()
MODEL = _project.model(SETTINGS)


class _Windows(Service[Any]):
    """A service whose windows do not pass through BentoML's layers; see `bentos.online.app`."""

    def to_asgi(self, is_main: bool = True) -> app.Asgi:
        # uvicorn would compose a line per request for BentoML's handler, whose level drops it: 50 µs each.
        logging.getLogger("uvicorn.access").propagate = False
        return app.build(_project.package(MODEL), SETTINGS, behind=super().to_asgi(is_main))


class _Online:
    """Activities of windows from a wrist or phone IMU; the API is described at `/docs.json`."""

    package = MODEL


Online = _Windows(
    name=f"{SETTINGS.project.name}-online",
    inner=_Online,
    image=_image.image(),
    config={
        "workers": SETTINGS.serving.workers,
        "traffic": {"timeout": 10, "max_concurrency": 64},
        "http": {"host": "127.0.0.1"},
    },
)
