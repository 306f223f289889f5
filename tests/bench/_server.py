"""Servers in processes of their own, on free ports of this machine; they end with the block that started them."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.local.environment import quiet_environment
from tests.support.ports_support import free_port

ROOT = Path(__file__).resolve().parents[2]
_START_S, _STOP_S = 120.0, 10.0


@dataclass(frozen=True)
class Server:
    """One that answers.

    Attributes:
        port: where.
        ready_s: from its start to its first good answer.
        process: the one that was started; with BentoML, the supervisor of the worker.
    """

    port: int
    ready_s: float
    process: psutil.Process

    def cpu_s(self) -> float:
        """Processor time so far, of all its processes; it depends less on what else the machine does than rates do."""
        family = [self.process, *self.process.children(recursive=True)]
        return float(sum(sum(member.cpu_times()[:2]) for member in family))

    def supervisor_rss_mb(self) -> float:
        """Memory of the process that was started."""
        return float(self.process.memory_info().rss / 1e6)

    def worker_rss_mb(self) -> float:
        """Memory of the process that does the work."""
        workers = [child.memory_info().rss for child in self.process.children(recursive=True)]
        return float(max(workers, default=self.process.memory_info().rss) / 1e6)


@contextlib.contextmanager
def serving(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    ready: str,
    log: Path,
    python: Path | str = sys.executable,
) -> Iterator[Server]:
    """Run `python -m ARGUMENTS --port …` in the project's folder until the block ends.

    Args:
        arguments: module and arguments.
        environment: variables beside this process's own.
        ready: path that answers 200 once the server is ready.
        log: gets its output.
        python: the interpreter.

    Raises:
        RuntimeError: it ended, or was not ready in time; with the end of its log.
    """
    port = free_port()
    command = [str(python), "-m", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    variables = {**os.environ, **quiet_environment(chatter=True), **environment}
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=output)
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.perf_counter() - began > _START_S:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise RuntimeError(f"expected {arguments} to answer, but got exit status {process.poll()}:\n{tail}")
            time.sleep(0.01)
        yield Server(port, time.perf_counter() - began, psutil.Process(process.pid))
    finally:
        _end(process)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.kill()
    process.wait()
