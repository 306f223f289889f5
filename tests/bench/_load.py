"""Prepared requests in, what `wrk` measured out; a load generator that is not Python leaves the server its core."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MISSING = "wrk is not installed (apt-get install wrk, brew install wrk): the online service was not measured."
_SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True)
class Load:
    """What came of some seconds of load.

    Attributes:
        requests: answered ones.
        seconds: it took.
        refused: answers with a status of 400 or more.
        lost: connections or requests without an answer.
        p50_us: median time to the answer.
        p99_us: 99 % were answered in this time.
    """

    requests: int
    seconds: float
    refused: int
    lost: int
    p50_us: float
    p99_us: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def available() -> bool:
    """Whether there is a load generator."""
    return shutil.which("wrk") is not None


def send(port: int, requests: Path, *, connections: int, seconds: int, refusals: bool = False) -> Load:
    """Send the requests of a folder again and again over keep-alive connections.

    Args:
        port: of the server on this machine.
        requests: folder that `write` filled.
        connections: that are open at once; each has one request on its way.
        seconds: to go on for.
        refusals: some of the requests are meant to be refused.

    Raises:
        RuntimeError: wrk failed, a request got no answer, or one was refused that should not have been.
    """
    count = len(list(requests.glob("*.http")))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), f"http://127.0.0.1:{port}/"]
    result = subprocess.run([*command, "--", str(requests), str(count)], capture_output=True, text=True, check=False)
    line = next((line for line in result.stdout.splitlines() if line.startswith("{")), None)
    if result.returncode or line is None:
        raise RuntimeError(f"expected figures from wrk, but got {result.stderr or result.stdout}")
    load = Load(**json.loads(line))
    if load.lost or not load.requests or (load.refused and not refusals):
        raise RuntimeError(f"expected an answer to every request in {requests.name}, but got {load}")
    return load


def write(folder: Path, requests: Sequence[bytes]) -> Path:
    """Write prepared requests for `send`."""
    folder.mkdir(parents=True)
    for number, request in enumerate(requests, start=1):
        (folder / f"{number}.http").write_bytes(request)
    return folder


def post(path: str, body: bytes, kind: str) -> bytes:
    """One HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    """One HTTP request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post_json(windows: NDArray[np.float32], path: str = "/predict") -> bytes:
    """Windows as JSON, with four decimals: finer than the sensors are."""
    content = {"windows": windows.astype(np.float64).round(4).tolist()}
    return post(path, json.dumps(content, separators=(",", ":")).encode(), "application/json")


def post_raw(windows: NDArray[np.float32], path: str = "/predict/raw") -> bytes:
    """Windows as float32, little-endian."""
    shape = ",".join(map(str, windows.shape))
    return post(f"{path}?shape={shape}", windows.astype("<f4").tobytes(), "application/octet-stream")


def made_up(count: int, length: int, channels: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Windows (count, length, channels) of a wrist that moves, m/s² and rad/s."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(length)[None, :, None] / 50
    pace = 2 * np.pi * rng.uniform(0.3, 4, (count, 1, 1))
    moving = rng.uniform(0.2, 3, (count, 1, channels)) * np.sin(pace * time_s + rng.uniform(0, 6, (count, 1, channels)))
    resting = np.zeros(channels)
    resting[2] = 9.81
    return (resting + moving + rng.normal(0, 0.2, (count, length, channels))).astype(np.float32)
