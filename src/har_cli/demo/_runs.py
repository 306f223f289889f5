"""Run deployments, or wait for a run that an event starts."""

from __future__ import annotations

import time

from har.console import console
from har.errors import ServerError
from har.jobs.package import TAGS
from har.project import Project
from har.registry import Version

WAIT_S = 420.0
POLL_S = 0.5


def run_deployment(project: Project, name: str, **parameters: object) -> None:
    """Run a deployment and wait until it ends.

    Raises:
        ServerError: the run failed or did not finish in time; has the run's message.
    """
    from prefect.client.schemas.objects import FlowRun
    from prefect.deployments import run_deployment

    began = time.monotonic()
    with console.status(f"{name} …"):
        run = run_deployment(name, parameters=dict(parameters), timeout=WAIT_S, poll_interval=POLL_S, as_subflow=False)
    assert isinstance(run, FlowRun)  # noqa: S101  a coroutine only where an event loop runs
    state = run.state
    if state is None or not state.is_completed():
        raise ServerError(
            where=f"deployment {name}",
            expected=f"a run that completes within {WAIT_S:g} s",
            got=f"{state.name if state else 'no state'}: {state.message if state else ''}",
            remedy=f"See {worker_log(project)}.",
        )
    message = f": {state.message}" if state.message else ""
    console.print(f"{name}{message} [dim]({time.monotonic() - began:.0f} s)[/]", highlight=False)


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
