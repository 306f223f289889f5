"""Run deployments, or wait for a run that an event starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from har.console import console
from har.errors import ServerError
from har.jobs.package import TAGS
from har.project import Project
from har.registry import Version

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

WAIT_S = 420.0
POLL_S = 0.5


def run_deployments(project: Project, *names: str, parameters: Mapping[str, dict[str, Any]] | None = None) -> None:
    """Run deployments at the same time, and wait until all have ended.

    Args:
        project: whose worker runs them.
        names: `flow/deployment` each.
        parameters: of the runs, by these names.

    Raises:
        ServerError: a run failed or did not finish in time; has the run's message.
    """
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment

    began = time.monotonic()
    running = {}
    for name in names:
        given = (parameters or {}).get(name, {})
        run: Any = run_deployment(name, parameters=given, timeout=0, as_subflow=False)
        running[run.id] = name
    with console.status("") as status, get_client(sync_client=True) as client:
        while running and time.monotonic() - began < WAIT_S:
            status.update(f"{', '.join(running.values())} …")
            for number in list(running):
                state = client.read_flow_run(number).state
                if state is not None and state.is_final():
                    _report(project, running.pop(number), state, time.monotonic() - began)
            time.sleep(POLL_S)
    for name in running.values():
        raise _failed(project, name, f"it did not finish within {WAIT_S:g} s")


def _report(project: Project, name: str, state: State[Any], seconds: float) -> None:
    if not state.is_completed():
        raise _failed(project, name, f"{state.name}: {state.message or ''}")
    message = f": {state.message}" if state.message else ""
    console.print(f"{name}{message} [dim]({seconds:.0f} s)[/]", highlight=False)


def _failed(project: Project, name: str, problem: str) -> ServerError:
    return ServerError(where=f"deployment {name}", problem=problem, remedy=f"See {worker_log(project)}.")


def await_bentos(project: Project) -> Version:
    """Wait until the champion is packaged; the event of its promotion starts that.

    Raises:
        ServerError: the champion was not packaged in time.
    """
    began = time.monotonic()
    with console.status("package/champion, started by the promotion …"):
        while time.monotonic() - began < WAIT_S:
            champion = project.registry.champion()
            if all(name in champion.tags for name in TAGS):
                console.print(f"package/champion: {', '.join(champion.tags[name] for name in TAGS)}", highlight=False)
                return champion
            time.sleep(POLL_S)
    raise ServerError(
        where="deployment package/champion",
        problem=f"did not build bentos of version {champion.number} within {WAIT_S:g} s",
        remedy=f"See {worker_log(project)}.",
    )


def worker_log(project: Project) -> str:
    """The path of the worker's log."""
    return str(project.settings.root / ".prefect" / "logs" / "worker.log")
