"""Run the local stack of a project: Prefect server, schedules, one worker and the MLflow page.

    python -m infra.local.stack [--prefect-port 4200] [--mlflow-port 5000]

All its processes end with it, even if it is killed. Logs go to `.prefect/logs`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from har.errors import HarError
from har.files import write_atomically
from har.project import use_tracking
from har.registry import artifact_location, local_database
from har.settings import Settings, load_settings
from infra.local.child import Child
from infra.local.environment import quiet_environment
from infra.local.login import USER, login, login_file
from infra.local.serve_mlflow import LOGIN_VARIABLE
from infra.local.server import (
    AUTH_VARIABLE,
    HOST,
    bound,
    ended,
    hold_home,
    note_server,
    require_free,
    sigterm_ends_blocks,
    start_server,
    wait_for,
)
from infra.local.worker import deployments, worker_of_deployments

POINTER = "prefect.toml"
"""Prefect's commands read the server's address from this file in the current folder."""

_POINTER_MARK = "# Written by `make up`, removed when it stops"
_OTHER_MLFLOW_PORT = "Choose another one: `har up --mlflow-port 5001`."
_POLL_S = 0.5


def run_stack(root: Path, *, prefect_port: int = 4200, mlflow_port: int = 5000) -> int:
    """Run the stack of the project in `root` until Ctrl-C or SIGTERM.

    Args:
        root: the folder of har.toml and prefect.yaml.
        prefect_port: of Prefect's pages and API; 0: any free port.
        mlflow_port: of MLflow's pages; 0: any free port.

    Returns:
        The exit status, 0 after Ctrl-C or SIGTERM.

    Raises:
        ServerError: a port is in use, another stack runs on this folder, or a part stopped by itself.
    """
    console = Console()
    try:
        with sigterm_ends_blocks(), ExitStack() as stack:
            parts = _start(root.resolve(), prefect_port, mlflow_port, stack, console)
            while True:
                for part in parts:
                    status = part.poll()
                    if status is not None:
                        raise ended(part, status)
                time.sleep(_POLL_S)
    except (KeyboardInterrupt, SystemExit):
        console.print("Stopped.")
        return 0


def _start(root: Path, prefect_port: int, mlflow_port: int, stack: ExitStack, console: Console) -> list[Child]:
    settings = load_settings(root)
    home = root / ".prefect"
    logs = home / "logs"
    stack.enter_context(hold_home(home))
    use_tracking(settings.tracking.uri)
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    database = tracking or local_database(settings.path("mlflow"))
    page = not tracking.startswith(("http://", "https://"))  # an MLflow server has its own page
    if page:
        require_free(mlflow_port, _OTHER_MLFLOW_PORT)
    if prefect_port:
        require_free(prefect_port, "Choose another one: `har up --prefect-port 4201`.")
    # Registered only now: if something above fails, there is nothing to stop.
    stack.callback(console.print, "Stopping …")
    parts = []
    hosts = settings.serving.hosts
    with console.status("Starting the Prefect server (a first start prepares its database) …"):
        server, api = start_server(home, port=prefect_port, log=logs / "server.log", full=True, hosts=hosts)
        stack.callback(server.stop)
        parts.append(server)
        if page:
            mlflow, tracking = _start_mlflow(settings, home, database, mlflow_port)
            stack.callback(mlflow.stop)
            parts.append(mlflow)
        wait_for(server, f"{api}/health")
    with console.status("Deploying prefect.yaml; starting the worker and MLflow …"):
        worker = stack.enter_context(worker_of_deployments(root, home, api))
        parts.append(worker)
        if page:
            wait_for(mlflow, f"{tracking}/health")
    note_server(home, api)
    found_here = stack.enter_context(_pointer(root, home, api))
    _print(console, root, api, tracking, found_here=found_here)
    return parts


def _start_mlflow(settings: Settings, home: Path, database: str, port: int) -> tuple[Child, str]:
    folder = settings.path("mlflow")
    folder.mkdir(parents=True, exist_ok=True)
    with bound(port, _OTHER_MLFLOW_PORT) as page:
        address = f"http://{HOST}:{page.getsockname()[1]}"
        environment = {
            **quiet_environment(),
            **os.environ,
            # Not an argument: other users can read arguments, and the address may contain a password.
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            LOGIN_VARIABLE: login(home),
        }
        artifacts = f"--artifacts={artifact_location(folder)}"
        arguments = ["infra.local.serve_mlflow", f"--socket={page.fileno()}", artifacts]
        child = Child(
            "MLflow",
            [*arguments, *(f"--host={name}" for name in settings.serving.hosts)],
            environment=environment,
            log=home / "logs" / "mlflow.log",
            folder=folder,
            sockets=[page.fileno()],
        )
    return child, address


@contextmanager
def _pointer(root: Path, home: Path, api: str) -> Iterator[bool]:
    """Write prefect.toml, so that Prefect's commands find the server; yields False if the user has such a file."""
    path = root / POINTER
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_POINTER_MARK):
        yield False
        return
    content = f'{_POINTER_MARK}.\n[api]\nurl = "{api}"\nauth_string = "{login(home)}"\n'
    write_atomically(path, content, private=True)
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)


def _print(console: Console, root: Path, api: str, tracking: str, *, found_here: bool) -> None:
    home = root / ".prefect"
    addresses = Table("what", "where", title="The local stack is running")
    addresses.add_row("Prefect: runs, schedules", api.removesuffix("/api"))
    addresses.add_row("MLflow: models, figures", tracking)
    addresses.add_row("login of both pages", str(login_file(home)))
    addresses.add_row("logs", str(home / "logs"))
    console.print(addresses)
    console.print(
        f"Prefect's page asks for a password: the whole line of that file. MLflow's asks for a user, {USER}, and a "
        "password: what follows the colon.",
        highlight=False,
    )
    console.print("Try, in another terminal:", highlight=False)
    if found_here:
        console.print("  cd here: Prefect's commands find the server by prefect.toml. From elsewhere:", style="dim")
    console.print(f"  export PREFECT_API_URL={api}", soft_wrap=True, highlight=False)
    console.print(
        f'  export {AUTH_VARIABLE}="$(cat {shlex.quote(str(login_file(home)))})"', soft_wrap=True, highlight=False
    )
    for deployment in deployments(root):
        console.print(f"  .venv/bin/prefect deployment run '{deployment}' --watch", highlight=False)
    console.print("Ctrl-C stops everything.")


def _main() -> int:
    parser = argparse.ArgumentParser(description="Start Prefect server, worker, deployments and MLflow.")
    parser.add_argument("--root", type=Path, help="the project's folder; by default this one or the nearest above")
    parser.add_argument("--prefect-port", type=int, default=4200)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    options = parser.parse_args()
    try:
        root = load_settings(options.root).root
        return run_stack(root, prefect_port=options.prefect_port, mlflow_port=options.mlflow_port)
    except HarError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}[/]: {error}", highlight=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(_main())
