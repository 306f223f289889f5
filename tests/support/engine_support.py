"""Parts for tests of the engines: they travel to other processes by their names."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl


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


def write(part: Part) -> int:
    """Do `work`, then replace a partition of a table that has one row per part."""
    from har.lake import Lake

    assert part.folder is not None
    done = work(part)
    lake = Lake(part.folder.parent / "written", ("accel_x",))
    date = dt.date(2024, 1, 1 + part.number)
    row = {"date": date, "subject": "s01", "model_version": 1, "content": "", "windows": done}
    frame = pl.DataFrame([row]).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in lake.scores.schema.items() if name not in row
    )
    lake.scores.replace(frame, [(date, "s01")])
    return done
