"""`make up` as a user runs it: its output, its refusals, and its end."""

from __future__ import annotations

import dataclasses
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

from har.errors import ServerError
from har.files import write_atomically
from infra.local import third_party
from infra.local.login import login
from infra.local.ports import Ports, held

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]


THIRD_PARTY = {"prometheus": "prometheus", "alerts": "alertmanager", "metrics": "prometheus"}
PARTS = ("prefect", "mlflow", "online", "batch", "prometheus", "alerts", "metrics")


@contextmanager
def stack(project: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    shutil.copy(ROOT / "prefect.yaml", project)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "COLUMNS": "200"}
    command = [sys.executable, "-m", "infra.local.stack", "--root", str(project), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def any_ports(**given: int) -> list[str]:
    return [f"--{part}-port={given.get(part, 0)}" for part in PARTS]


def test_sigterm_while_it_starts_ends_everything_with_status_0(project: Path, all_gone: Callable[..., bool]) -> None:
    with stack(project, *any_ports()) as process:
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


@pytest.mark.parametrize("which", ["prefect", "mlflow", "online", "prometheus", "alerts", "metrics"])
def test_a_taken_port_is_named_with_the_options_that_choose_others(which: str, project: Path) -> None:
    if which in THIRD_PARTY and not third_party.installed(THIRD_PARTY[which]):
        pytest.skip(f"needs {THIRD_PARTY[which]}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with stack(project, *any_ports(**{which: port})) as process:
            output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert f"port {port}: expected a free port" in output
    assert f"--{which}-port" in output
    assert "--ports-from" in output
    assert not (project / ".prefect" / "logs").exists()


def test_a_second_stack_cannot_hold_the_port_of_a_first_that_serves_nothing_yet() -> None:
    with held("online", Ports(online=0)) as port:
        second = held("online", Ports(online=port))
        with pytest.raises(ServerError, match=f"port {port}: expected a free port"):
            second.__enter__()
    with held("online", Ports(online=port)) as again:
        assert again == port


def test_ports_follow_one_option_and_single_ones_win() -> None:
    assert Ports.chosen(None) == Ports()
    chosen = Ports.chosen(5200, online=3000, mlflow=None)
    assert dataclasses.astuple(chosen) == (5200, 5201, 3000, 5203, 5204, 5205, 5206)
    with pytest.raises(ServerError, match="the same one for online and batch"):
        Ports.chosen(None, batch=3000)
    with pytest.raises(ServerError, match="from 1 to 65535"):
        Ports.chosen(65_533)
    with pytest.raises(ServerError, match="from 1 to 65535"):
        Ports.chosen(None, prefect=-1)


def test_secrets_that_others_can_read_are_named_and_a_login_is_renewed(project: Path) -> None:
    before = login(project / ".prefect")
    secrets = [project / ".prefect" / "login", project / "data" / "feedback-token"]
    write_atomically(secrets[1], "0123456789abcdef0123456789abcdef")
    for path in secrets:
        path.chmod(0o644)
    with socket.socket() as taken:  # so that it ends at once
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with stack(project, *any_ports(mlflow=int(taken.getsockname()[1]))) as process:
            output = process.communicate(timeout=60)[0]
    assert f"{secrets[0]} could be read by others (mode 644): a new login is made." in output
    assert f"{secrets[1]} can be read by others (mode 644): `chmod 600` it" in output
    assert login(project / ".prefect") != before
    assert secrets[0].stat().st_mode & 0o777 == 0o600
    assert secrets[1].read_text() == "0123456789abcdef0123456789abcdef"
