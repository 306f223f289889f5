"""What several commands share: the console, options, and the way to a Prefect server, where there is one."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from har.errors import ServerError
from har.settings import Settings, check_network, load_settings, network_names

out = Console()

Date = Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="This date only; by default all.")]
Network = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(network_names())}, or a Python file that holds a network; by default har.toml's.",
        callback=lambda name: name and check_network(name),
    ),
]
ViaPrefect = Annotated[
    bool,
    typer.Option("--via-prefect", help="Run the flow instead, on the server of PREFECT_API_URL or of `make up`."),
]


def day(date: dt.datetime | None) -> dt.date | None:
    """The date of an option."""
    return date.date() if date else None


def run(job: Callable[[], Any], flow: Callable[[], Any], *, via_prefect: bool) -> Any:
    """Call a job here, or run its flow in this process on a server that is there.

    Raises:
        ServerError: a flow is asked for, and no server is known.
    """
    if not via_prefect:
        return job()
    # What goes wrong in a run ends the command, with words or a traceback: Prefect's own would be a second one.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with on_server(load_settings()):
        return flow()


def known_server(settings: Settings) -> str | None:
    """The API of PREFECT_API_URL or of the stack that runs on this project; None: there is none."""
    from infra.local.server import running_server

    return os.environ.get("PREFECT_API_URL") or running_server(home(settings))


def home(settings: Settings) -> Path:
    """The folder of the project's own Prefect server."""
    return settings.root / ".prefect"


@contextlib.contextmanager
def on_server(settings: Settings) -> Iterator[None]:
    """Let Prefect, in this process, use the server that is known.

    Raises:
        ServerError: none is.
    """
    url = known_server(settings)
    if url is None:
        raise ServerError(
            where="--via-prefect",
            expected="a Prefect server",
            got="none: PREFECT_API_URL is not set, and `make up` does not run here",
            remedy="Start one with `make up` in another terminal, or leave --via-prefect out.",
        )
    from infra.local.server import using_server

    with using_server(home(settings), url):
        yield


def sender(settings: Settings) -> Callable[[Any], str]:
    """Sends a job's events to the server that is known; without one, says so."""
    from har.jobs import nobody_listens

    if known_server(settings) is None:
        return nobody_listens

    def send(event: Any) -> str:
        from flows._events import sender as prefect_sender

        with on_server(settings):
            return prefect_sender(settings)(event)

    return send


def trainings_start_themselves(settings: Settings) -> bool:
    """What the variable `har_retraining` of the known server says; without a server: yes."""
    if known_server(settings) is None:
        return True
    with on_server(settings):
        from flows._tasks import retraining_is_on

        return retraining_is_on()
