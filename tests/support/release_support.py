"""A service that follows what is released to its folder, and a client that asks it all the time."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from ports_support import free_port
from serving_support import OCTETS

ROOT = Path(__file__).resolve().parents[2]


def environment(root: Path) -> dict[str, str]:
    ours = ("BENTOML_", "HAR_", "PREFECT_", "PROMETHEUS_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return own | {"HAR_ROOT": str(root), "GITHUB_ACTOR": "ada"}


@contextmanager
def site(root: Path) -> Iterator[str]:
    """The folder's online service, as a process of its own; yields its address."""
    port = free_port()
    log = root / "site.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.delivery.online.site", "--port", str(port)],
            cwd=ROOT,
            env=environment(root),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()


@dataclass
class Client:
    """Asks the service all the time, on new connections and on kept ones, for eight people in turn."""

    address: str
    windows: np.ndarray
    answers: list[tuple[float, int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Client:
        self._threads = [threading.Thread(target=self._ask, args=(kept,)) for kept in (True, False)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def reaches(self) -> bool:
        """Whether the service is ready."""
        try:
            return httpx.get(f"{self.address}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def versions(self) -> set[int]:
        return {version for _, version in self.answers}

    def _ask(self, kept: bool) -> None:
        shape = ",".join(map(str, self.windows.shape))
        turns = itertools.cycle(range(8))
        with httpx.Client(base_url=self.address, timeout=20, trust_env=False) as connection:
            while not self._ended.wait(0.02):
                headers = OCTETS if kept else {**OCTETS, "Connection": "close"}
                try:
                    answer = connection.post(
                        "/predict/raw",
                        params={
                            "shape": shape,
                            "subject": f"s{next(turns)}",
                            "start": datetime.now(UTC).isoformat(),
                            "rate_hz": 50.0,
                        },
                        content=self.windows.astype("<f4").tobytes(),
                        headers=headers,
                    )
                    answer.raise_for_status()
                    self.answers.append((time.monotonic(), answer.json()["model_version"]))
                except (httpx.HTTPError, KeyError, ValueError) as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
