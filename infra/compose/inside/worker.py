"""The worker of the stack: it deploys prefect.yaml, then runs flows: `python -m infra.compose.inside.worker`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from har.errors import ServerError
from infra.compose.inside._client import client_environment
from infra.compose.inside._entry import run
from infra.compose.inside._waiting import wait_for_answer
from infra.local.worker import WORK_POOL, end_runs_of

_POOL = ["prefect", "work-pool", "create", WORK_POOL, "--type", "process", "--overwrite"]
_DEPLOY = ["prefect", "--no-prompt", "deploy", "--all"]
_WORKER = ["prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", WORK_POOL]


def main() -> None:
    """Wait for the server, deploy, and run the worker until it ends.

    The first start is healthy only when the deployments exist. Later ones, as after a crash, have them already: the
    worker takes up runs at once, and what changed in prefect.yaml is deployed meanwhile.

    Raises:
        ServerError: the deployments cannot be created; the engine starts this again.
        SystemExit: with the worker's exit status.
    """
    os.environ.update(client_environment())
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)  # noqa: PTH103  a string of the environment
    wait_for_answer(f"{os.environ['PREFECT_API_URL']}/health")
    deployed = Path(os.environ.get("HAR_ROOT", ".")) / ".prefect" / "deployed"
    first = not deployed.exists()
    if first:
        _require("creating the work pool", subprocess.run(_POOL, check=False).returncode)
        _require("deploying", subprocess.run(_DEPLOY, check=False).returncode)
        deployed.touch()
    if left := end_runs_of(WORK_POOL):
        print(f"{left} runs were cut off when this container last ended: they count as crashed now.", flush=True)
    raise SystemExit(_supervise([*_WORKER, "--with-healthcheck"], None if first else _DEPLOY))


def _supervise(command: list[str], beside: list[str] | None) -> int:
    """Run the worker and collect every process that ends, for this one is the container's first.

    Args:
        command: the worker's.
        beside: another command, whose failure ends the worker.

    Returns:
        The worker's exit status, or that of `beside` if it failed.
    """
    worker: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: FrameType | None) -> None:
        if worker is None:
            raise SystemExit(128 + number)
        worker.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    worker = subprocess.Popen(command)
    other = subprocess.Popen(beside) if beside else None
    failed = 0
    while True:
        # Also what a killed flow run leaves behind: nobody else waits for it, and it would stay as a zombie.
        pid, status = os.wait()
        if other is not None and pid == other.pid and status:
            failed = 1
            print(f"{' '.join(beside or [])} failed: this service starts again and repeats it.", flush=True)
            worker.terminate()
        if pid == worker.pid:
            return failed or os.waitstatus_to_exitcode(status)


def _require(what: str, status: int) -> None:
    if status:
        raise ServerError(
            where=what,
            problem=f"ended with {status}",
            remedy="Its output is above; this service starts again and repeats it.",
        )


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run(main)
