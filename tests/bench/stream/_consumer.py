"""`har stream run` in a process of its own: started, killed, stopped, and looked at."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench._server import ROOT
from tests.bench.stream._project import Run

_START_S, _STOP_S, _LOOK_S = 90.0, 60.0, 0.25
_RUNS = "the stream runs"


class Look(NamedTuple):
    """At a moment (wall clock, s): resident memory in MB, and processor seconds since the process began."""

    at: float
    rss_mb: float
    cpu_s: float


class Consumer:
    """One process; its output goes to `consumer-N.log` in the run's folder."""

    def __init__(self, run: Run, number: int = 0) -> None:
        self.looks: list[Look] = []
        self.log = run.folder / f"consumer-{number}.log"
        with self.log.open("ab") as output:
            self.started = time.time()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "har_cli", "stream", "run"],
                cwd=ROOT,
                env=run.environment,
                stdout=output,
                stderr=output,
            )
        self._ps = psutil.Process(self._process.pid)
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def wait_until_it_runs(self) -> None:
        """Until it has opened its sources and the model.

        Raises:
            RuntimeError: it ended, or takes too long; with the end of its log.
        """
        deadline = time.monotonic() + _START_S
        while _RUNS not in _text(self.log):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"har stream run did not start:\n{self.tail()}")
            time.sleep(0.05)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def tail(self) -> str:
        """The end of its output."""
        return "\n".join(_text(self.log).splitlines()[-15:])

    def kill(self) -> None:
        """As a power cut does."""
        self._over.set()
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As Ctrl-C does, and wait; a process that does not end is killed."""
        self._over.set()
        if self.is_alive:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def between(self, first: float, last: float) -> list[Look]:
        """The looks of this time."""
        return [one for one in self.looks if first <= one.at <= last]

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = self._ps.cpu_times()
                self.looks.append(Look(time.time(), self._ps.memory_info().rss / 1e6, float(times.user + times.system)))


@contextlib.contextmanager
def consuming(run: Run, count: int = 1) -> Iterator[list[Consumer]]:
    """So many consumers until the block ends; they run when it begins."""
    consumers = [Consumer(run, number) for number in range(count)]
    try:
        for consumer in consumers:
            consumer.wait_until_it_runs()
        yield consumers
    finally:
        for consumer in consumers:
            consumer.stop()


def cpu_share(looks: list[Look]) -> float:
    """Of one core."""
    if len(looks) < 2:
        return 0.0
    return (looks[-1].cpu_s - looks[0].cpu_s) / (looks[-1].at - looks[0].at)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
