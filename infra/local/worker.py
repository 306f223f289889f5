"""Create the deployments of prefect.yaml on a running server, and run a worker for them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from har.console import console
from har.errors import ServerError
from infra.local.child import Child
from infra.local.environment import quiet_environment
from infra.local.login import login
from infra.local.server import ended, server_environment

WORK_POOL = "local"

_DEPLOY_TIMEOUT_S = 300.0
_WORKER_LABEL = "prefect.worker.name"
"""Prefect's workers give it to their runs."""
_PAGE = 100


def deployments(root: Path) -> list[str]:
    """The deployments in the project's prefect.yaml, as `prefect deployment run` takes them: `flow/name`."""
    entries = yaml.safe_load((root / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    return [f"{entry['entrypoint'].rpartition(':')[2]}/{entry['name']}" for entry in entries]


@contextlib.contextmanager
def worker_of_deployments(root: Path, home: Path, api: str) -> Iterator[Child]:
    """Create the deployments of the project's prefect.yaml, and run a worker during the block.

    Both start at the same time, on one core each. The logs are `deploy.log` and `worker.log` in `home/logs`.

    Args:
        root: the folder of har.toml and prefect.yaml.
        home: the server's folder.
        api: the URL of its API.

    Raises:
        ServerError: Prefect fails or does not finish in time.
    """
    _create_work_pool(home, api)
    name = worker_name(root)
    if left := end_left_runs(name, home, api):
        console.print(f"[yellow]{left} runs were cut off when the stack last ended[/]: they count as crashed now.")
    environment = _environment(root, home, api)
    worker = Child(
        "worker",
        ["prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", name],
        environment=environment,
        log=home / "logs" / "worker.log",
        folder=root,
    )
    try:
        _deploy(root, environment, home / "logs" / "deploy.log")
        yield worker
    finally:
        worker.stop()


def worker_name(root: Path) -> str:
    """The name of the worker of a project's folder on this machine, which its runs have as a label."""
    place = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    return f"{socket.gethostname()}-{place}"


def end_left_runs(worker: str, home: Path, api: str) -> int:
    """Mark the unfinished runs of a worker as crashed; to be called before it starts, when none of them can live.

    A run that was killed with its worker counts as running for ever. It would hold the place of its deployment, which
    has one run at a time, and all later ones would wait.

    Returns:
        How many there were.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    unfinished = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    left = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=unfinished)))
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[WORK_POOL]))
    count = 0
    with _settings(home, api), get_client(sync_client=True) as client:
        offset = 0
        while runs := client.read_flow_runs(flow_run_filter=left, work_pool_filter=pool, limit=_PAGE, offset=offset):
            for run in runs:
                if run.labels.get(_WORKER_LABEL) in (worker, WORK_POOL):  # the second: by an older release
                    client.set_flow_run_state(run.id, Crashed(message="The stack ended during this run."), force=True)
                    count += 1
                else:
                    offset += 1  # another machine's, which stays in the list
    return count


def _environment(root: Path, home: Path, api: str) -> dict[str, str]:
    return {
        **quiet_environment(chatter=True),
        **os.environ,
        **server_environment(home, api),
        "HAR_ROOT": str(root),
        # The log of a flow belongs on its page, even if the command that started the worker is quiet.
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "1"),
        # 500: the server has lost its database. By default, a worker gives up after some seconds of this, and a flow
        # cannot say how it ended; now each request is repeated for about a minute, and the worker holds out for longer.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": os.environ.get("PREFECT_CLIENT_RETRY_EXTRA_CODES", "500"),
    }


def _create_work_pool(home: Path, api: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=WORK_POOL,
        type="process",
        description="Processes on this machine.",
        base_job_template=ProcessWorker.get_default_base_job_template(),
    )
    with _settings(home, api), get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return


def _settings(home: Path, api: str) -> contextlib.AbstractContextManager[object]:
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    return temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: login(home)})


def _deploy(root: Path, environment: dict[str, str], log: Path) -> None:
    command = ["prefect", "--no-prompt", "deploy", "--all"]
    deployment = Child("`prefect deploy --all`", command, environment=environment, log=log, folder=root)
    try:
        status = deployment.wait(_DEPLOY_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ServerError(
            where=deployment.name,
            problem=f"did not finish within {_DEPLOY_TIMEOUT_S:g} s",
            remedy=f"See {log}.",
        ) from error
    finally:
        deployment.stop()
    if status:
        raise ended(deployment, status)
