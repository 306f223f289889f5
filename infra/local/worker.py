"""A running server in, the deployments of prefect.yaml and a worker that runs them out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from infra.local.child import Child
from infra.local.environment import quiet_environment
from infra.local.server import ServerError, ended, server_environment

WORK_POOL = "local"

_DEPLOY_TIMEOUT_S = 300.0


def deploy(root: Path, home: Path, api: str) -> None:
    """Deploy all of the project's prefect.yaml; the log is `home/logs/deploy.log`.

    Args:
        root: the folder of har.toml and prefect.yaml.
        home: the server's folder.
        api: its URL.

    Raises:
        ServerError: Prefect refuses, or hangs.
    """
    _create_work_pool(api)
    _deploy(root, _environment(root, home, api), home / "logs" / "deploy.log")


def start_worker(root: Path, home: Path, api: str) -> Child:
    """Start the worker that runs the deployments, as `deploy`'s arguments say; the caller stops it."""
    return Child(
        "worker",
        ["prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", WORK_POOL],
        environment=_environment(root, home, api),
        log=home / "logs" / "worker.log",
        folder=root,
    )


def _environment(root: Path, home: Path, api: str) -> dict[str, str]:
    return {
        **quiet_environment(chatter=True),
        **os.environ,
        **server_environment(home, api),
        "HAR_ROOT": str(root),
        # What a flow says belongs on its page, even if the command that started the worker is a quiet one.
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "2"),
    }


def _create_work_pool(api: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=WORK_POOL,
        type="process",
        description="Processes on this machine.",
        base_job_template=ProcessWorker.get_default_base_job_template(),
    )
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
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
            expected=f"an end within {_DEPLOY_TIMEOUT_S:g} s",
            got="none",
            remedy=f"See {log}.",
        ) from error
    finally:
        deployment.stop()
    if status:
        raise ended(deployment, status)
