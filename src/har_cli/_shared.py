"""Parts of several commands: the console, options, and the connection to a running Prefect server."""

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

from har.errors import ServerError, SettingsError
from har.settings import Settings, check_network, load_settings, network_names

out = Console()

DONE_IN_PART = 3
"""Exit code of a command that did its work, but set aside or left out some of its input; see the handbook."""

Date = Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="This date only; by default all.")]
Network = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(network_names())}, your own as module:Class, or a Python file that holds one; "
        "by default har.toml's.",
        callback=lambda name: name and check_network(name),
    ),
]
ViaPrefect = Annotated[
    bool,
    typer.Option("--via-prefect", help="Run the flow on the Prefect server of PREFECT_API_URL or of `make up`."),
]


def end_unless(complete: bool) -> None:
    """End the command with `DONE_IN_PART` if some of its input was set aside or left out."""
    if not complete:
        raise typer.Exit(DONE_IN_PART)


def pairs(given: list[str] | None, flag: str) -> dict[str, str]:
    """NAME=VALUE options as a dictionary; `flag` is the command and the option, as messages name them.

    Raises:
        SettingsError: one has no '=', or no name.
    """
    found = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(
                where=f"har {flag}",
                expected="NAME=VALUE",
                got=repr(text),
                remedy="Write NAME, '=', VALUE.",
            )
        found[name] = value
    return found


def day(date: dt.datetime | None) -> dt.date | None:
    """The date of an option."""
    return date.date() if date else None


def run(job: Callable[[], Any], flow: Callable[[], Any], *, via_prefect: bool) -> Any:
    """Call the job, or run its flow in this process on a running Prefect server.

    Raises:
        ServerError: the flow is requested, but no server runs.
    """
    if not via_prefect:
        return job()
    # The command reports an error itself; Prefect's log would show it a second time.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with on_server(load_settings()):
        return flow()


def known_server(settings: Settings) -> str | None:
    """The URL of PREFECT_API_URL or of the project's running stack; None: no server is known."""
    from infra.local.server import running_server

    return os.environ.get("PREFECT_API_URL") or running_server(home(settings))


def home(settings: Settings) -> Path:
    """The folder of the project's own Prefect server."""
    return settings.root / ".prefect"


@contextlib.contextmanager
def on_server(settings: Settings) -> Iterator[None]:
    """Let Prefect in this process use the known server.

    Raises:
        ServerError: no server is known, it cannot be reached, refuses the login, or goes away during the block.
    """
    url = known_server(settings)
    if url is None:
        raise ServerError(
            where="--via-prefect",
            problem="no Prefect server is known: PREFECT_API_URL is not set, and `make up` does not run here",
            remedy="Start one with `make up` in another terminal, or omit --via-prefect.",
        )
    from infra.local.borrowed import borrowing_server

    with borrowing_server(home(settings), url):
        yield


def sender(settings: Settings) -> Callable[[Any], str]:
    """A function that sends a job's events to the known server, or `no_receiver`."""
    from har.jobs import no_receiver

    if known_server(settings) is None:
        return no_receiver

    def send(event: Any) -> str:
        # A job must not fail because its event cannot be sent.
        from flows._events import sender as prefect_sender

        try:
            with on_server(settings):
                return prefect_sender(settings)(event)
        except ServerError as error:
            return str(error)

    return send


def automatic_retraining(settings: Settings) -> bool:
    """Whether retraining may start without a person: the server's variable `har_retraining`; without a server, yes."""
    if known_server(settings) is None:
        return True
    with on_server(settings):
        from flows._tasks import retraining_is_on

        return retraining_is_on()
