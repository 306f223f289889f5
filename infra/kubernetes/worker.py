"""Prefect's worker in the cluster: `python -m infra.kubernetes.worker`, the Deployment `worker`.

It makes the work pool `local`, which prefect.yaml names, as one of Kubernetes Jobs, deploys prefect.yaml, and starts a
Job for each flow run. A run that was cut off with the worker goes on: it is a Job of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.compose.inside._client import client_environment
from infra.compose.inside._entry import run
from infra.compose.inside._waiting import wait_for_answer
from infra.compose.inside.worker import _require, _supervise
from infra.local.worker import WORK_POOL

TEMPLATE = Path("/srv/template/job-template.json")
TYPE = "kubernetes"


def commands(template: Path = TEMPLATE) -> tuple[list[str], list[str], list[str]]:
    """How the pool is made, what deploys, and the worker."""
    pool = ["prefect", "work-pool", "create", WORK_POOL, "--type", TYPE, "--base-job-template", str(template)]
    return (
        [*pool, "--overwrite"],
        ["prefect", "--no-prompt", "deploy", "--all"],
        ["prefect", "worker", "start", "--pool", WORK_POOL, "--type", TYPE, "--name", WORK_POOL, "--with-healthcheck"],
    )


def main() -> None:
    """Wait for the server, deploy, and run the worker until it ends.

    Raises:
        ServerError: the pool or the deployments cannot be created; Kubernetes starts this again.
        SystemExit: with the worker's exit status.
    """
    os.environ.update(client_environment())
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)  # noqa: PTH103  a string of the environment
    wait_for_answer(f"{os.environ['PREFECT_API_URL']}/health")
    pool, deploy, worker = commands()
    _require("creating the work pool", subprocess.run(pool, check=False).returncode)
    _require("deploying", subprocess.run(deploy, check=False).returncode)
    raise SystemExit(_supervise(worker, None))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run(main)
