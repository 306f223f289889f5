"""Parts of the stack: started again when they end, replaced without a gap, and left alone when the new one fails."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from infra.local.child import Child
from infra.local.part import Followed, Part, process_answers
from infra.local.ports import Ports, held

pytestmark = pytest.mark.stack

# Listens together with others once it is "ready", and ends as a service does: it answers what has reached it.
SERVICE = """
import os, signal, socket, sys, time
version, port = sys.argv[1], int(sys.argv[2])
if version.startswith("broken"):
    sys.exit(3)
if version.startswith("silent"):
    time.sleep(600)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", port))
listener.listen(128)
listener.settimeout(0.05)
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(time.monotonic() + 0.3))
while True:
    try:
        connection = listener.accept()[0]
    except TimeoutError:
        if ending and time.monotonic() > ending[0]:
            break
        continue
    except BlockingIOError:
        listener.shutdown(socket.SHUT_RDWR)  # at once: what came until the process has ended would be reset
        break
    if ending and time.monotonic() > ending[0]:
        listener.settimeout(0)  # what has come until now, and no more
    connection.settimeout(5)
    connection.recv(65536)
    body = f"{version} {os.getpid()}".encode()
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    connection.recv(1)  # until the client closes
    connection.close()
"""


class Trial:
    """A followed service and what was said about it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.wanted = ""
        self.said: list[str] = []
        self.part = Followed(
            "service",
            f"http://127.0.0.1:{port}",
            self.start,
            lambda child: process_answers(child, port, "/"),
            self.said.append,
            wanted=lambda: self.wanted,
            pauses_s=(0.1, 0.2),
            start_timeout_s=3,
        )

    def start(self, version: str) -> Child:
        if version == "unstartable":
            raise OSError("no memory left")
        command = ["infra.local.program", sys.executable, "-c", SERVICE, version, str(self.port)]
        return Child(version, command, environment=os.environ, log=self.folder / "service.log")

    def until(self, reached: Callable[[], bool], within_s: float = 30.0) -> None:
        deadline = time.monotonic() + within_s
        while not reached():
            assert time.monotonic() < deadline, self.said
            self.part.tick()
            time.sleep(0.02)

    def answer(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/", timeout=5).text.split()[0]

    @contextmanager
    def asked(self) -> Iterator[Counter[str]]:
        """Ask all the time; counts the answers, and what is no answer."""
        counted: Counter[str] = Counter()
        stopped = threading.Event()

        def ask() -> None:
            while not stopped.is_set():
                try:
                    counted[self.answer()] += 1
                except httpx.HTTPError as error:
                    counted[f"{type(error).__name__}: {error}"] += 1

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield counted
        finally:
            stopped.set()
            for thread in threads:
                thread.join()


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    with held("online", Ports(online=0)) as port:
        made = Trial(tmp_path, port)
        try:
            yield made
        finally:
            made.part.stop()


def test_a_service_waits_for_its_first_version_and_is_replaced_without_losing_a_request(trial: Trial) -> None:
    trial.part.tick()
    assert trial.part.pid is None
    trial.wanted = "v1"
    trial.until(lambda: trial.part.ready)
    first = trial.part.pid
    assert first is not None
    with trial.asked() as counted:
        trial.wanted = "v2"
        trial.until(lambda: trial.part.version == "v2")
        trial.until(lambda: not psutil.pid_exists(first))
        after = counted["v2"]
        trial.until(lambda: counted["v2"] > after + 5)
    assert set(counted) == {"v1", "v2"}
    assert "service v2 serves in place of v1" in trial.said[-1]


@pytest.mark.parametrize("bad", ["broken", "silent", "unstartable"])
def test_a_version_that_does_not_get_ready_changes_nothing_and_is_told_once(trial: Trial, bad: str) -> None:
    trial.wanted = "v1"
    trial.until(lambda: trial.part.ready)
    running = trial.part.pid
    with trial.asked() as counted:
        trial.wanted = bad
        trial.until(lambda: len(trial.said) == 2)
        for _ in range(30):
            trial.part.tick()
            time.sleep(0.01)
    assert set(counted) == {"v1"}
    assert trial.part.pid == running
    assert f"service {bad}: " in trial.said[1]
    assert "v1 goes on serving" in trial.said[1]
    assert len(trial.said) == 2
    trial.wanted = "v3"
    trial.until(lambda: trial.part.version == "v3" and not psutil.pid_exists(running or 0))
    assert trial.answer() == "v3"


def test_a_version_that_is_taken_back_before_it_is_ready_never_serves(trial: Trial) -> None:
    trial.wanted = "v1"
    trial.until(lambda: trial.part.ready)
    running = trial.part.pid
    trial.wanted = "silent"
    trial.part.tick()
    trial.wanted = "v1"
    trial.until(lambda: True)
    trial.part.tick()
    assert (trial.part.pid, trial.part.version, trial.answer()) == (running, "v1", "v1")


def test_a_killed_service_is_started_again(trial: Trial, all_gone: Callable[..., bool]) -> None:
    trial.wanted = "v1"
    trial.until(lambda: trial.part.ready)
    killed = trial.part.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    trial.until(lambda: trial.part.ready and trial.part.pid != killed)
    assert "service v1: killed by SIGKILL; it is started again in 0.1 s" in trial.said[1]
    assert trial.answer() == "v1"
    last = trial.part.pid
    trial.part.stop()
    assert all_gone([killed, last], within_s=1)


def test_pauses_grow_while_a_part_fails(tmp_path: Path) -> None:
    said: list[str] = []
    part = Part(
        "helper",
        "nowhere",
        lambda: Child(
            "helper", ["infra.local.program", "/bin/false"], environment=os.environ, log=tmp_path / "helper.log"
        ),
        lambda _: False,
        said.append,
        pauses_s=(0.1, 0.2, 0.3),
    )
    deadline = time.monotonic() + 30
    while len(said) < 5 and time.monotonic() < deadline:
        part.tick()
        time.sleep(0.02)
    part.stop()
    pauses = [line.partition("again in ")[2].partition(". ")[0] for line in said]
    assert pauses == ["0.1 s", "0.2 s", "0.3 s", "0.3 s", "0.3 s"]
    assert "stopped with exit status 1" in said[0]
