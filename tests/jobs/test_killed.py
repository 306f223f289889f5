"""SIGKILL at any moment of a training, a retraining or a monitoring run: the next one ends as an undisturbed one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import run_support
from days_support import Live

from har.monitoring import DecisionLog
from har.project import Project

pytestmark = [pytest.mark.release, pytest.mark.timeout(900)]

PARTS = (0.3, 0.5, 0.7, 0.8, 0.9)
"""When to kill, as parts of the time that an undisturbed run takes."""
TIMED = (
    *("ingested_at", "scored_at", "made_at", "decided_at", "asked_at", "emitted_at", "handled_at", "received_at"),
    *("seconds", "attempts"),
)
"""Columns that tell when something was written, how long it took, and how often it was tried."""
TABLES = ("samples", "recordings", "predictions", "scores", "profiles", "drift", "decisions", "labels")


def har(root: Path, words: list[str], *, kill_after_s: float | None = None) -> int:
    """Run a command in a process group of its own; its exit status, or minus the signal that killed it."""
    environment = {**os.environ, "HAR_ROOT": str(root), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "har_cli", *words]
    with (root.parent / f"{root.name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            return process.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def state(root: Path) -> dict[str, Any]:
    """What the registry and the lake hold, without the times at which it was written."""
    code = "from test_killed import print_state; print_state()"
    environment = {
        **os.environ,
        "HAR_ROOT": str(root),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return dict(line[1:].split(" ", 1) for line in done.stdout.splitlines() if line.startswith("="))


def print_state() -> None:
    """Print the state of the project of HAR_ROOT, a line per part."""
    from har.project import open_project

    project = open_project()
    registry = project.registry
    timed = ("seconds", "_ms", "latency")
    for version in registry.versions():
        metrics = {name: value for name, value in version.metrics.items() if not any(part in name for part in timed)}
        print(f"=version{version.number} {sorted(version.aliases)} {sorted(metrics.items())}")
    print(f"=log {[(move.action, move.version) for move in registry.log()]} {registry.verify_log()}")
    for name in TABLES:
        rows = getattr(project.lake, name).read()
        rows = rows.drop(*[one for one, kind in rows.schema.items() if one in TIMED or kind == pl.Binary])
        if "outcome" in rows.columns:  # the gate's sentences have measured times
            rows = rows.with_columns(pl.col("outcome").str.split(":").list.first())
        print(f"={name} {len(rows)} {rows.hash_rows(1).sort().hash(2).sum() if len(rows) else 0}")


@pytest.mark.parametrize("job", ["train", "retrain", "monitor"])
def test_a_killed_job_run_again_ends_as_one_that_was_left_alone(
    job: str, loop: Project, live: Live, tmp_path: Path
) -> None:
    live(0, tilted=True)
    run_support.monitor()
    live(1, tilted=True)
    words = [job]
    if job == "retrain":
        run_support.monitor()
        (row,) = [row for row in DecisionLog(loop.lake).rows() if row.action == "retrain"]
        words = ["train", "--decision", row.decision_id]
    base = loop.settings.root
    clean = tmp_path / "clean"
    shutil.copytree(base, clean)
    began = time.monotonic()
    assert har(clean, words) == 0
    seconds = time.monotonic() - began
    expected = state(clean)
    assert expected != state(base)
    killed = 0
    for part in PARTS:
        root = tmp_path / f"killed{part}"
        shutil.copytree(base, root)
        killed += har(root, words, kill_after_s=part * seconds) == -signal.SIGKILL
        assert har(root, words) == 0, (tmp_path / f"{root.name}.log").read_text()
        assert state(root) == expected, f"killed after {part:.0%}"
    assert killed >= 2
