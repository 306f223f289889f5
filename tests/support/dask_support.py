"""A Dask cluster of processes that a test can kill, stop and start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUPPORT = Path(__file__).parent


class Cluster:
    """A scheduler on a free port, and workers by name with a thread each; all end with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        described = folder / "scheduler.json"
        self._start("scheduler", "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(described))
        _wait_for(lambda: described.exists() and described.read_text().strip(), self.log("scheduler"))
        self.address: str = json.loads(described.read_text())["address"]

    def worker(self, name: str, *, first_path: Path | None = None) -> None:
        """Start a worker that is connected when this returns.

        Args:
            name: a word.
            first_path: a folder that its imports look at first.
        """
        paths = [*([str(first_path)] if first_path else []), str(SUPPORT)]
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name)
        folder = ("--local-directory", str(self._folder), "--host", "127.0.0.1")
        self._start(name, "worker", self.address, *options, *folder, paths=paths)
        _wait_for(lambda: b"Registered to" in self.log(name).read_bytes(), self.log(name))

    def signal(self, name: str, number: int) -> None:
        """Send a signal to the scheduler or a worker."""
        self._processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """End it as a power failure would."""
        self._processes[name].kill()
        self._processes[name].wait(20)

    def log(self, name: str) -> Path:
        """What it printed."""
        return self._folder / f"{name}.log"

    def stop(self) -> None:
        """End all."""
        for process in self._processes.values():
            process.kill()
            process.wait(20)

    def _start(self, name: str, *words: str, paths: list[str] | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*(paths or []), *filter(None, sys.path)])}
        environment |= {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5 minutes", "POLARS_MAX_THREADS": "2"}
        host = ("--host", "127.0.0.1") if words[0] == "scheduler" else ()
        with self.log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *words, *host], env=environment, stdout=log, stderr=log
            )


@contextmanager
def cluster_in(folder: Path) -> Iterator[Cluster]:
    """A cluster with its files in a new folder, without workers."""
    folder.mkdir()
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        for name in cluster._processes:
            cluster.signal(name, signal.SIGCONT)
        cluster.stop()


def _wait_for(there: object, log: Path, seconds: float = 90) -> None:
    assert callable(there)
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
