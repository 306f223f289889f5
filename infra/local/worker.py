"""Create the deployments of prefect.yaml on a running server, and run a worker for them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from har.errors import ServerError
from infra.local.child import Child
from infra.local.environment import quiet_environment
from infra.local.login import login
from infra.local.server import ended, server_environment

WORK_POOL = "local"

_DEPLOY_TIMEOUT_S = 300.0


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
    environment = _environment(root, home, api)
    worker = Child(
        "worker",
        ["prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", WORK_POOL],
        environment=environment,
        log=home / "logs" / "worker.log",
        folder=root,
    )
    try:
        _deploy(root, environment, home / "logs" / "deploy.log")
        yield worker
    finally:
        worker.stop()


def _environment(root: Path, home: Path, api: str) -> dict[str, str]:
    return {
        **quiet_environment(chatter=True),
        **os.environ,
        **server_environment(home, api),
        "HAR_ROOT": str(root),
        # The log of a flow belongs on its page, even if the command that started the worker is quiet.
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "1"),
    }


def _create_work_pool(home: Path, api: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=WORK_POOL,
        type="process",
        description="Processes on this machine.",
        base_job_template=ProcessWorker.get_default_base_job_template(),
    )
    settings = {PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: login(home)}
    with temporary_settings(settings), get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return


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
