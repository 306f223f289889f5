"""States of subjects, a clock to turn, and a real Redis server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports_support import free_port

from har.streaming.state import Answer, DeviceHealth, SubjectState

HOUR_US = 3_600_000_000
KEEP_US = 48 * HOUR_US
PRESENT_US = 1_790_000_000_000_000


@dataclass
class Clock:
    """A wall clock that stands still."""

    now: int = PRESENT_US

    def __call__(self) -> int:
        """The present, in µs."""
        return self.now


def answer(start_us: int = PRESENT_US - 3_000_000, activity: str = "walking", smoothed: str = "") -> Answer:
    """The answer to a window."""
    return Answer(start_us, start_us + 2_560_000, activity, 0.75, False, 3, smoothed)


def state(subject: str, start_us: int = PRESENT_US - 3_000_000, seen_us: int = PRESENT_US) -> SubjectState:
    """A subject's state with one device."""
    watch = DeviceHealth("watch", "wrist", seen_us, -0.5, 50.2, missing=1, late=2, duplicates=3, rejected=4)
    return SubjectState(
        subject=subject,
        answer=answer(start_us),
        seen_us=seen_us,
        date="2026-09-21",
        minutes={"walking": 12.5, "uncertain": 0.5},
        windows=609,
        devices=(watch,),
    )


class RedisServer:
    """A server of our own on a free port, in a folder that is deleted with it; its password is "secret".

    Attributes:
        address: with the password.
    """

    def __init__(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            pytest.skip("needs a Redis server (apt-get install redis-server)")
        self.port = free_port()
        self.address = f"redis://:secret@127.0.0.1:{self.port}/0"
        self.folder = Path(tempfile.mkdtemp(prefix="har-redis-"))
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self._command += ["--appendonly", "yes", "--save", "", "--requirepass", "secret"]
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline, "the Redis server does not start"
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill it; what it acknowledged may be lost for a second, as the fsync of the log is."""
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait(30)
            self._server = None


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server."""
    made = RedisServer()
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.folder)
