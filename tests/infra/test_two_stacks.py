"""Two projects on one machine, each with all its parts: served, scored, replaced under load, and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from tests_support import copy_code

from har.settings import Settings, load_settings
from infra.local import third_party
from infra.local.login import login

pytestmark = [pytest.mark.release, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]


def har(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "har_cli", *arguments],
        env=environment(root),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment(root: Path) -> dict[str, str]:
    # Each project runs its own code, as in a clone.
    path = os.pathsep.join([str(root / "src"), str(root), *sys.path])
    return {**os.environ, "HAR_ROOT": str(root), "PYTHONPATH": path, "COLUMNS": "200", "HAR_GATES__LATENCY_MS": "10000"}


def free_ports() -> int:
    """The first of six ports in a row that are free."""
    for first in range(21_000, 29_000, 6):
        try:
            for port in range(first, first + 6):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports are free")


class Stack:
    """A running `har up` and what it has printed."""

    def __init__(self, root: Path, first: int, process: subprocess.Popen[str]) -> None:
        self.settings: Settings = load_settings(root)
        self.root, self.first, self.process = root, first, process
        self.printed = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line

    def until(self, reached: Callable[[], Any], within_s: float = 180) -> None:
        deadline = time.monotonic() + within_s
        while not reached():
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.2)

    def address(self, part: int) -> str:
        return f"http://127.0.0.1:{self.first + part}"

    def predict(self, part: int = 2) -> httpx.Response:
        length = self.settings.length
        windows = np.random.default_rng(0).normal(0, 1, (1, length, 6)).astype("<f4")
        windows[:, :, 2] += 9.8
        headers = {"Content-Type": "application/octet-stream"}
        url = f"{self.address(part)}/predict/raw?shape=1,{length},6"
        return httpx.post(url, content=windows.tobytes(), headers=headers, timeout=20, trust_env=False)

    def run(self, deployment: str) -> str:
        variables = {
            "PREFECT_API_URL": f"{self.address(0)}/api",
            "PREFECT_API_AUTH_STRING": login(self.root / ".prefect"),
            "PREFECT_HOME": str(self.root / "client"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "deployment", "run", deployment, "--watch"],
            env={**environment(self.root), **variables},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def up(root: Path) -> Iterator[Stack]:
    first = free_ports()
    command = [sys.executable, "-m", "har_cli", "up", f"--ports-from={first}"]
    with subprocess.Popen(
        command, env=environment(root), cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        stack = Stack(root, first, process)
        try:
            stack.until(lambda: "Ctrl-C stops everything" in stack.printed)
            yield stack
        finally:
            process.terminate()


@pytest.fixture
def projects(veteran: Path, tmp_path: Path) -> list[Path]:
    """Two projects with a champion each and other names."""
    made = []
    for name in ("first", "second"):
        root = shutil.copytree(veteran, tmp_path / name)
        copy_code(root)
        for folder in ("flows", "infra"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "prefect.yaml", root)
        made.append(root)
    toml = made[1] / "har.toml"
    toml.write_text(toml.read_text().replace('name = "test-project"', 'name = "second"'))
    shutil.rmtree(made[1] / "mlruns")
    har(made[1], "train")
    return made


@contextmanager
def asked(stack: Stack) -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            try:
                answer = stack.predict()
                counted[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                counted[type(error).__name__] += 1
            time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield counted
    finally:
        stopped.set()
        thread.join()


def test_two_stacks_with_all_parts(projects: list[Path]) -> None:
    with up(projects[0]) as first, up(projects[1]) as second:
        assert "starts when a model is packaged" in first.printed
        for stack in (first, second):
            har(stack.root, "package")
            stack.until(lambda stack=stack: "online service v" in stack.printed and "batch service v" in stack.printed)
        described = [httpx.get(f"{stack.address(2)}/model", trust_env=False).json() for stack in (first, second)]
        assert [one["project"] for one in described] == ["test-project", "second"]

        # The nightly flow is scored by the batch service, and by its own process while that is away.
        assert "finished successfully" in first.run("score/nightly")
        assert "path=/score" in (first.root / ".prefect" / "logs" / "batch.log").read_text()

        if third_party.installed("haproxy"):
            first.until(lambda: httpx.get(f"{first.address(4)}/readyz", trust_env=False).status_code == 200)
            assert first.predict(4).status_code == 200
        if third_party.installed("prometheus"):
            targets = f"{first.address(5)}/api/v1/targets"

            def all_up() -> bool:
                found = httpx.get(targets, trust_env=False).json()["data"]["activeTargets"]
                return len(found) >= 2 and all(one["health"] == "up" for one in found)

            first.until(all_up)

        # Another version, under load: no request is lost, and the other stack is not touched.
        (first.root / "bentos" / "online" / "_note.py").write_text('"""Other code, another bento."""\n')
        with asked(first) as counted:
            har(first.root, "package")
            first.until(lambda: "online service v1" in first.printed and " serves in place of " in first.printed)
            first.until(lambda: first.printed.count(" serves in place of ") == 2)
            time.sleep(3)
        assert set(counted) == {"200"}
        assert second.predict().status_code == 200

        # A killed service comes back; the rest goes on.
        family = psutil.Process(first.process.pid).children(recursive=True)
        (service,) = [one for one in family if "serve" in one.cmdline() and "test-project-online" in str(one.cmdline())]
        service.send_signal(signal.SIGKILL)
        first.until(lambda: "killed by SIGKILL; it is started again in 1 s" in first.printed)
        first.until(lambda: first.printed.rstrip().endswith(f"is ready: {first.address(2)}"))
        assert first.predict().status_code == 200

        everything = [*psutil.Process(first.process.pid).children(recursive=True)]
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
        assert [one for one in psutil.wait_procs(everything, timeout=5)[1] if one.is_running()] == []
        assert second.predict().status_code == 200


def test_a_stack_that_was_killed_goes_on_where_it_stopped(projects: list[Path]) -> None:
    root = projects[0]
    with up(root) as stack:
        family = psutil.Process(stack.process.pid).children(recursive=True)
        stack.process.send_signal(signal.SIGKILL)
        stack.process.wait(30)
        left = psutil.wait_procs(family, timeout=20)[1]
        assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
    with up(root) as stack:
        assert "finished successfully" in stack.run("score/nightly")
    assert "Nothing is missing" in har(root, "check")
