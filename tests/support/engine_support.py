"""Parts for tests of the engines: they travel to other processes by their names."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """A number; `does` says what happens when it runs; `folder` is where runs leave a file each."""

    number: int
    does: str = ""
    folder: Path | None = None
    size: int = 0

    def __str__(self) -> str:
        return f"part {self.number}"


def work(part: Part) -> int:
    """The square of the number, if nothing happens."""
    runs = []
    if part.folder is not None:
        runs = list(part.folder.glob(f"{part.number}-*"))
        (part.folder / f"{part.number}-{os.getpid()}-{time.time_ns()}").touch()
    if part.does == "fails":
        raise ValueError(f"nothing to do with {part.number}")
    if part.does == "kills" or (part.does == "kills once" and not runs):
        os.kill(os.getpid(), signal.SIGKILL)
    if part.does == "stops once" and not runs:
        os.kill(os.getpid(), signal.SIGSTOP)
    if part.does == "eats":
        block = []
        while True:
            block.append(bytearray(os.urandom(2**20) * 16))
            time.sleep(0.05)
    if part.does == "sleeps":
        time.sleep(0.5)
    return part.number**2
