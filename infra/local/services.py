"""The online and the batch service of the local stack: each serves its bento `latest`, and follows it."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from har.settings import Settings
from infra.bentoml.store import SHARED_PORT, Store, environment
from infra.local.child import Child
from infra.local.part import Followed, Say, process_answers
from infra.local.server import HOST

BATCH_VARIABLE = "STACK_BATCH_SERVICE"
"""Offers the batch service to the flow `score`, which uses it while it serves the champion (see `flows.score`)."""

_READY = "/readyz"


def service(kind: str, settings: Settings, port: int, logs: Path, say: Say) -> Followed:
    """The service of the bento `<project>-<kind>:latest` on a port that is held (see `infra.local.ports.held`).

    Args:
        kind: "online" or "batch".
        settings: the project's.
        port: to listen on.
        logs: folder for its log.
        say: gets a line when its state changes.
    """
    store = settings.path("bentoml")
    name = f"{settings.project.name}-{kind}"

    def start(version: str) -> Child:
        return Child(
            f"{kind} service",
            ["bentoml", "serve", f"{name}:{version}", "--host", HOST, "--port", str(port)],
            environment={**os.environ, **environment(store), "HAR_ROOT": str(settings.root), SHARED_PORT: "1"},
            log=logs / f"{kind}.log",
            folder=settings.root,
        )

    return Followed(
        f"{kind} service",
        f"http://{HOST}:{port}",
        start,
        lambda child: process_answers(child, port, _READY),
        say,
        wanted=lambda: packaged(store, name),
    )


def packaged(store: Path, name: str) -> str:
    """The version that the tag `latest` of a bento means; "" if there is none, or it is being packaged right now.

    While a bento is packaged, `latest` may mean one that is not tested yet.
    """
    pointer = store / "bentos" / name / "latest"
    if not pointer.is_file():
        return ""
    try:
        with FileLock(store / "package.lock", timeout=0):
            version = pointer.read_text(encoding="utf-8").strip()
    except (Timeout, FileNotFoundError):
        return ""
    return version if Store(store).holds(f"{name}:{version}") else ""
