"""`make up` as a user runs it: its output, its refusals, and its end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


@contextmanager
def stack(project: Path, prefect_port: int, mlflow_port: int) -> Iterator[subprocess.Popen[str]]:
    shutil.copy(ROOT / "prefect.yaml", project)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "COLUMNS": "200"}
    ports = [f"--prefect-port={prefect_port}", f"--mlflow-port={mlflow_port}"]
    command = [sys.executable, "-m", "infra.local.stack", "--root", str(project), *ports]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_sigterm_while_it_starts_ends_everything_with_status_0(project: Path, all_gone: Callable[..., bool]) -> None:
    with stack(project, free_port(), free_port()) as process:
        log = project / ".prefect" / "logs" / "mlflow.log"
        deadline = time.monotonic() + 60
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        parts = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        assert len(parts) == 2
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=30)[0]
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "Stopped."
    assert all_gone(parts, within_s=1)


@pytest.mark.parametrize("which", ["prefect", "mlflow"])
def test_a_taken_port_is_named_with_the_option_that_chooses_another(which: str, project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        ports = {"prefect": free_port(), "mlflow": free_port(), which: port}
        with stack(project, ports["prefect"], ports["mlflow"]) as process:
            output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert f"port {port}: expected a free port" in output
    assert f"--{which}-port" in output
    assert not (project / ".prefect" / "logs").exists()
