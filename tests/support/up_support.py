"""A whole stack as `har up` runs it, for tests that use its parts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from har.settings import Settings, load_settings
from infra.local.login import login


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
    """The first of seven ports in a row that are free."""
    for first in range(21_000, 29_000, 7):
        try:
            for port in range(first, first + 7):
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
        with suppress(ValueError):  # closed when the test ends
            for line in self.process.stdout:
                self.printed += line

    def until(self, reached: Callable[[], Any], within_s: float = 300) -> None:
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

    def run(self, deployment: str, *options: str) -> str:
        variables = {
            "PREFECT_API_URL": f"{self.address(0)}/api",
            "PREFECT_API_AUTH_STRING": login(self.root / ".prefect"),
            "PREFECT_HOME": str(self.root / "client"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "deployment", "run", deployment, *options],
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
def up(root: Path, **variables: str) -> Iterator[Stack]:
    """The stack of a project that has its own code, with these variables."""
    first = free_ports()
    command = [sys.executable, "-m", "har_cli", "up", f"--ports-from={first}"]
    with subprocess.Popen(
        command,
        env={**environment(root), **variables},
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        stack = Stack(root, first, process)
        try:
            stack.until(lambda: "Ctrl-C stops everything" in stack.printed)
            yield stack
        finally:
            process.terminate()
