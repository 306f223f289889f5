"""The worker of the stack: it deploys prefect.yaml, then runs flows: `python -m infra.compose.inside.worker`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType

from har.errors import ServerError
from infra.compose.inside._client import client_environment
from infra.compose.inside._entry import run
from infra.compose.inside._waiting import wait_for_answer
from infra.local.worker import WORK_POOL

_POOL = ["prefect", "work-pool", "create", WORK_POOL, "--type", "process", "--overwrite"]
_DEPLOY = ["prefect", "--no-prompt", "deploy", "--all"]
_WORKER = ["prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", WORK_POOL]


def main() -> None:
    """Wait for the server, deploy, and run the worker until it ends.

    Raises:
        ServerError: the deployments cannot be created; the engine starts this again.
        SystemExit: with the worker's exit status.
    """
    os.environ.update(client_environment())
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)  # noqa: PTH103  a string of the environment
    wait_for_answer(f"{os.environ['PREFECT_API_URL']}/health")
    for command in (_POOL, _DEPLOY):
        status = subprocess.run(command, check=False).returncode
        if status:
            raise ServerError(
                where=" ".join(command),
                problem=f"ended with {status}",
                remedy="Its output is above; this service starts again and repeats it.",
            )
    raise SystemExit(_supervise([*_WORKER, "--with-healthcheck"]))


def _supervise(command: list[str]) -> int:
    """Run the worker and collect every process that ends, for this one is the container's first.

    Returns:
        The worker's exit status.
    """
    worker = subprocess.Popen(command)

    def forward(number: int, _frame: FrameType | None) -> None:
        worker.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    while True:
        # Also what a killed flow run leaves behind: nobody else waits for it, and it would stay as a zombie.
        pid, status = os.wait()
        if pid == worker.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run(main)
