"""The online service of a project as a part of what runs it: behind HAProxy where it is installed, else alone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from har.settings import Settings
from infra.local.part import Followed, Say
from infra.local.ports import Ports, held
from infra.local.server import bound
from infra.local.services import service
from infra.local.third_party import installed
from infra.observability.prometheus import write_targets
from infra.serving.keeper import Keeper
from infra.serving.launching import launch

_BACKLOG = 1024
"""Connections that wait while HAProxy is started again."""


def online(
    settings: Settings, ports: Ports, logs: Path, say: Say, stack: ExitStack, *, targets: Path | None = None
) -> Keeper | Followed:
    """The online service on its port, not started yet.

    Args:
        settings: of the project.
        ports: has its port, which is held from now on.
        logs: folder for the logs.
        say: gets a line when something changes.
        stack: gives the port back at its end.
        targets: a file that gets the addresses of all replicas, for Prometheus.

    Raises:
        ServerError: the port is in use.
    """
    program = installed("haproxy")
    if program is None:
        port = stack.enter_context(held("online", ports))
        if targets is not None:
            write_targets(targets, [(f"127.0.0.1:{port}", {"backend": "blue", "replica": "s1"})])
        return service("online", settings, port, logs, say)
    door = stack.enter_context(bound(ports.online, ports.remedy("online")))
    door.listen(_BACKLOG)
    return Keeper(
        settings,
        program,
        door,
        logs,
        say,
        launch(settings, logs),
        targets=lambda found: None if targets is None else write_targets(targets, found),
    )
