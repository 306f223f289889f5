"""What tests of several folders write and do: a project's settings, made-up recordings, processes that are killed."""

from __future__ import annotations

import datetime as dt
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from har.recipe import Recipe

HAR_TOML = """
[project]
name = "test-project"
timezone = "UTC"

[recordings]
time_column = "time"
time_unit = "iso"
activity_column = "activity"
max_gap_s = 0.5

[sensors]
rate_hz = 50.0

[sensors.accelerometer]
channels = ["accel_x", "accel_y", "accel_z"]
unit = "g"
full_scale = 16.0

[sensors.gyroscope]
channels = ["gyro_x", "gyro_y", "gyro_z"]
unit = "rad/s"
full_scale = 34.9

[windows]
length_s = 4.0
overlap = 0.5
purity = 0.6

[activities]
names = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]

[training]
network = "spectral"
epochs = 12
"""


def copy_code(root: Path) -> None:
    """Put into a project's folder what bentos are built from."""
    source = Path(__file__).parents[2]
    for name in ("bentos", "src", "requirements"):
        shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bentofile.yaml", ".bentoignore"):
        shutil.copy2(source / name, root / name)


def write_recording(
    inbox: Path,
    date: str,
    subject: str,
    session: str,
    activity: str | None = None,
    *,
    seconds: float = 30,
    seed: int = 0,
    labelled: bool = True,
    like: str | None = None,
    gravity: tuple[float, float, float] = (0, 0, 1),
    at: dt.time = dt.time(9),
) -> Path:
    """Write a CSV of a movement that is this activity's (None: no label), at 50 Hz, in g and rad/s, resting on z.

    `like` names the activity whose movement it is, if that is another one.
    """
    known = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
    movement_of = like or activity
    number = known.index(movement_of) if movement_of in known else 0
    rng = np.random.default_rng([seed, number, *subject.encode()])
    rows = int(seconds * 50)
    time_s = np.arange(rows) / 50
    turn = 2 * np.pi * (0.4 + 0.3 * number) * time_s
    movement = np.stack([np.sin(turn + phase) for phase in rng.uniform(0, 6, 6)], axis=1)
    values = 0.3 * movement + rng.normal(0, 0.03, (rows, 6)) + [*gravity, 0, 0, 0]
    start = dt.datetime.combine(dt.date.fromisoformat(date), at)
    frame = pl.DataFrame(values, ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"])
    stamps = pl.Series("time", [start + dt.timedelta(milliseconds=20 * row) for row in range(rows)])
    frame = frame.insert_column(0, stamps.dt.to_string("iso:strict"))
    if activity is not None and labelled:
        frame = frame.with_columns(pl.lit(activity).alias("activity"))
    path = inbox / date / f"{subject}_{session}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_csv(path)
    return path


_DIE_AFTER_COMMITS = """
import os, signal
from har.lake import Table

def dying(self, *what, commit=Table._commit, left=[{commits}], **how):
    version = commit(self, *what, **how)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return version

Table._commit = dying
"""


def run_and_kill(code: str, *arguments: str, delay_s: float) -> None:
    """Run Python code, and kill it this long after its first line of output."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(delay_s)
        process.kill()


def run_until_commit(code: str, *arguments: str, commits: int) -> None:
    """Run Python code that dies of SIGKILL right after so many commits to the lake, of whichever tables."""
    whole = _DIE_AFTER_COMMITS.format(commits=commits) + code
    done = subprocess.run([sys.executable, "-c", whole, *arguments], stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL


def example_recipe(**fields: Any) -> Recipe:
    """A complete recipe; the fields that a test is about can be given."""
    values: dict[str, Any] = {
        "settings": {"windows": {"length_s": 4.0}, "scoring": {"abstain_below": 0.5}},
        "lake": "lake",
        "lake_version": 7,
        "split": {"train": ["s01"], "validation": ["s02"], "held_out": ["s03"]},
        "network": "spectral",
        "seed": 0,
    }
    return Recipe(**{**values, **fields})
