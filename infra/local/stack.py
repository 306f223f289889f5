"""Run the local stack of a project: Prefect server, schedules, worker, MLflow's page, the online and the batch service,
and, where they are installed, HAProxy, Prometheus and Alertmanager.

    python -m infra.local.stack [--ports-from 5200] [--prefect-port 4200] [--online-port 3000] …

All its processes end with it, even if it is killed. Logs go to `.prefect/logs`. If Prefect's server, the worker or
MLflow's page ends by itself, so does the stack; the other parts are started again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console

from har.errors import HarError
from har.files import write_atomically
from har.logs import append
from har.project import use_tracking
from har.registry import artifact_location, local_database
from har.settings import Settings, load_settings
from infra.local import third_party
from infra.local.child import Child
from infra.local.environment import quiet_environment
from infra.local.login import login, login_file, open_mode
from infra.local.part import Followed, Kept, Say, tell_once
from infra.local.ports import Ports, held
from infra.local.serve_mlflow import LOGIN_VARIABLE
from infra.local.server import (
    HOST,
    bound,
    ended,
    hold_home,
    note_server,
    require_free,
    sigterm_ends_blocks,
    start_server,
    variables,
    wait_for,
)
from infra.local.services import BATCH_VARIABLE, service
from infra.local.stream import consumer
from infra.local.table import Row, of_database, print_table
from infra.local.worker import worker_of_deployments
from infra.observability.alertmanager import has_receivers
from infra.observability.prometheus import Job
from infra.serving.keeper import Keeper
from infra.serving.online import online
from infra.serving.proxy.configuration import METRICS as PROXY_METRICS

POINTER = "prefect.toml"
"""Prefect's commands read the server's address from this file in the current folder."""

_POINTER_MARK = "# Written by `make up`, removed when it stops"
_POLL_S = 0.5
_FIRST_MESSAGE = "starts with the first message: POST /samples, or har stream send"


def run_stack(root: Path, ports: Ports | None = None) -> int:
    """Run the stack of the project in `root` until Ctrl-C or SIGTERM.

    Args:
        root: the folder of har.toml and prefect.yaml.
        ports: of the parts; None: the usual ones.

    Returns:
        The exit status, 0 after Ctrl-C or SIGTERM.

    Raises:
        ServerError: a port is in use, another stack runs on this folder, or an essential part stopped by itself.
    """
    console = Console()
    try:
        with sigterm_ends_blocks(), ExitStack() as stack:
            essential, kept = _start(root.resolve(), ports or Ports(), stack, console)
            while True:
                for child in essential:
                    status = child.poll()
                    if status is not None:
                        raise ended(child, status)
                for part in kept:
                    part.tick()
                time.sleep(_POLL_S)
    except (KeyboardInterrupt, SystemExit):
        console.print("Stopped.")
        return 0


def _start(root: Path, ports: Ports, stack: ExitStack, console: Console) -> tuple[list[Child], list[Kept]]:
    settings = load_settings(root)
    home = root / ".prefect"
    logs = home / "logs"
    for line in _open_secrets(settings, home):
        console.print(line, style="yellow", highlight=False, soft_wrap=True)
    stack.enter_context(hold_home(home))
    use_tracking(settings)
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    database = tracking or local_database(settings.path("mlflow"))
    page = not tracking.startswith(("http://", "https://"))  # an MLflow server has its own page
    if page:
        ports.free("mlflow")
    if ports.prefect:
        require_free(ports.prefect, ports.remedy("prefect"))
    kept, rows = _kept_parts(settings, ports, home, stack, console)
    # Registered only now: if something above fails, there is nothing to stop.
    stack.callback(console.print, "Stopping …")
    essential = []
    hosts = settings.serving.hosts
    with console.status("Starting the Prefect server (a first start prepares its database) …"):
        server, api = start_server(home, port=ports.prefect, log=logs / "server.log", full=True, hosts=hosts)
        stack.callback(server.stop)
        essential.append(server)
        if page:
            mlflow, tracking = _start_mlflow(settings, home, database, ports)
            stack.callback(mlflow.stop)
            essential.append(mlflow)
        wait_for(server, f"{api}/health")
    with console.status("Deploying prefect.yaml; starting the worker and MLflow …"):
        batch = next(part.address for part in kept if part.name == "batch service")
        with variables({BATCH_VARIABLE: batch}):
            worker = stack.enter_context(worker_of_deployments(root, home, api))
        essential.append(worker)
        if page:
            wait_for(mlflow, f"{tracking}/health")
    note_server(home, api)
    found_here = stack.enter_context(_pointer(root, home, api))
    for part in kept:
        stack.callback(part.stop)
    for part in kept:  # first of all, so that they end at the same time
        stack.callback(part.release)
    first = [
        Row("Prefect: runs, schedules", api.removesuffix("/api"), of_database()),
        Row("MLflow: models, figures", tracking, of_database(database) if page else "a server of its own"),
    ]
    print_table(console, root, api, [*first, *rows], found_here=found_here)
    return essential, kept


def _open_secrets(settings: Settings, home: Path) -> Iterator[str]:
    """A line for each secret that other users of this machine may read."""
    if mode := open_mode(login_file(home)):
        yield f"{login_file(home)} could be read by others (mode {mode}): a new login is made."
    token = settings.path("feedback_token")
    if mode := open_mode(token):
        way_out = "`chmod 600` it; or delete it: a new token is made, which clients then need."
        yield f"{token} can be read by others (mode {mode}): {way_out}"


def _kept_parts(
    settings: Settings, ports: Ports, home: Path, stack: ExitStack, console: Console
) -> tuple[list[Kept], list[Row]]:
    """The parts that are started again when they end, none of them started yet, and their rows of the table."""
    logs = home / "logs"
    kept: list[Kept] = []
    rows: list[Row] = []

    def say() -> Say:
        def told(line: str) -> None:
            console.print(f"{datetime.now():%H:%M:%S} {line}", highlight=False, soft_wrap=True, markup=False)
            append(logs / "stack.log", line, logger="har.stack", service="stack")

        return tell_once(told)

    found = home / "prometheus" / "online.json"
    service_online = online(settings, ports, logs, say(), stack, targets=found)
    batch_port = stack.enter_context(held("batch", ports))
    service_batch = service("batch", settings, batch_port, logs, say())
    kept += [service_online, service_batch]
    for part, note in ((service_online, _of_replicas(service_online, settings)), (service_batch, "")):
        rows.append(
            Row(part.name, part.address, note if part.wanted() else "starts when a model is packaged: har package")
        )
    if settings.stream.sources:
        stream = consumer(settings, logs, say())
        kept.append(stream)
        rows.append(Row("stream: samples of devices", stream.address, "" if stream.wanted() else _FIRST_MESSAGE))
    jobs = {"online": Job(file=found), "batch": Job([f"{HOST}:{batch_port}"])}
    if isinstance(service_online, Keeper):
        jobs["proxy"] = Job([service_online.address.removeprefix("http://")], path=PROXY_METRICS)
    if third_party.installed("prometheus"):
        kept_here, rows_here = _observers(settings, ports, home, jobs, say)
        kept += kept_here
        rows += rows_here
    else:
        rows.append(Row("Prometheus", "not installed", "apt-get install prometheus"))
    return kept, rows


def _of_replicas(part: Keeper | Followed, settings: Settings) -> str:
    """How the online service runs."""
    if isinstance(part, Followed):
        return "one process; apt-get install haproxy for replicas and har release"
    wanted = part.place.wanted()
    count = wanted.replicas or settings.serving.replicas
    tags = {"stable": part.wanted(), "canary": wanted.canary, "former": wanted.former}
    versions = [f"{role} {tag.partition(':')[2]}" for role, tag in tags.items() if tag]
    return f"HAProxy; {count} replica{'s' if count > 1 else ''} each of {', '.join(versions)}"


def _observers(
    settings: Settings, ports: Ports, home: Path, jobs: dict[str, Job], say: Callable[[], Say]
) -> tuple[list[Kept], list[Row]]:
    """Prometheus, the project's figures for it, and Alertmanager where it is installed."""
    logs = home / "logs"
    figures = third_party.exporter(settings, ports.free("metrics"), logs, say())
    jobs["project"] = Job([figures.address.removeprefix("http://")])
    kept: list[Kept] = [figures]
    rows: list[Row] = []
    alerts = ""
    if program := third_party.installed("alertmanager"):
        alerts = f"{HOST}:{ports.free('alerts')}"
        port = int(alerts.rpartition(":")[2])
        kept.append(third_party.alertmanager(program, settings, home / "alertmanager", port, logs, say()))
        told = "" if has_receivers(settings) else "tells nobody yet: [alerts] in har.toml"
        rows.append(Row("Alertmanager: alerts", kept[-1].address, told))
        jobs["alerts"] = Job([alerts])
    else:
        rows.append(Row("Alertmanager", "not installed", "apt-get install prometheus-alertmanager"))
    port = ports.free("prometheus")
    jobs["prometheus"] = Job([f"{HOST}:{port}"])
    program = third_party.installed("prometheus") or "prometheus"
    named = settings.project.name
    kept.append(
        third_party.prometheus(program, home / "prometheus", port, jobs, logs, say(), project=named, alerts=alerts)
    )
    return kept, [Row("Prometheus: metrics", kept[-1].address), Row("the project's figures", figures.address), *rows]


def _start_mlflow(settings: Settings, home: Path, database: str, ports: Ports) -> tuple[Child, str]:
    folder = settings.path("mlflow")
    folder.mkdir(parents=True, exist_ok=True)
    with bound(ports.mlflow, ports.remedy("mlflow")) as page:
        address = f"http://{HOST}:{page.getsockname()[1]}"
        environment = {
            **quiet_environment(),
            **os.environ,
            # Not an argument: other users can read arguments, and the address may contain a password.
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            LOGIN_VARIABLE: login(home),
        }
        artifacts = f"--artifacts={artifact_location(folder, settings.tracking.artifacts)}"
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


def _main() -> int:
    parser = argparse.ArgumentParser(description="Run the local stack.")
    parser.add_argument("--root", type=Path, help="the project's folder; by default this one or the nearest above")
    parser.add_argument("--ports-from", type=int, help="the first of seven ports, one per part")
    for field in dataclasses.fields(Ports):
        parser.add_argument(f"--{field.name}-port", type=int, help=f"by default {field.default}", dest=field.name)
    options = vars(parser.parse_args())
    try:
        root = load_settings(options.pop("root")).root
        return run_stack(root, Ports.chosen(options.pop("ports_from"), **options))
    except HarError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}[/]: {error}", highlight=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(_main())
