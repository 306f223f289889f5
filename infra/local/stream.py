"""The consumer of the local stack: `har stream run`, from the first message on, or where the sources are brokers."""

from __future__ import annotations

import os
from pathlib import Path

from har.settings import Settings
from har.streaming.store import known_shards
from infra.local.child import Child
from infra.local.part import Followed, Say

_RUNS = "run"


def consumer(settings: Settings, logs: Path, say: Say) -> Followed:
    """The consumer of a project's stream; with the on-disk queue alone, it starts when the first message has come.

    Args:
        settings: the project's.
        logs: folder for its log.
        say: gets a line when its state changes.
    """
    folder = settings.path("stream")

    def start(_version: str) -> Child:
        return Child(
            "stream",
            ["har_cli", "stream", "run"],
            environment={**os.environ, "HAR_ROOT": str(settings.root)},
            log=logs / "stream.log",
            folder=settings.root,
        )

    return Followed(
        "stream",
        str(folder),
        start,
        lambda child: any((folder / "consumers").glob(f"*-{child.pid}-*.lock")),
        say,
        wanted=lambda: _RUNS if set(settings.stream.sources) - {"queue"} or known_shards(folder) else "",
    )
