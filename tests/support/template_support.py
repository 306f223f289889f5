"""Shared by the tests of the template: sets of answers, the copier command line, git, and commands in a project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIER = ROOT / ".venv" / "tools" / "bin" / "copier"

Answers = dict[str, str]
Done = subprocess.CompletedProcess[str]
Copy = Callable[..., Done]

ANSWERS: dict[str, Answers] = {
    "pocket": {
        "project_name": "Pocket HAR",
        "data_source": "motionsense",
        "timezone": "Europe/Vienna",
        "ci": "gitlab",
        "containers": "podman",
        "image_registry": "ghcr.io/team",
        "dvc_remote": "s3://bucket/pocket",
    },
    "watch": {
        "project_name": "watch-100",
        "data_source": "sp-sw-har",
        "null_class": "OTHER",
        "night_hour": "23",
        "training_day": "6",
        "licence": "BSD-3-Clause",
        "containers": "none",
        "tests": "full",
        "ci": "none",
    },
    "accelerometer": {
        "project_name": "accel-only",
        "author": 'Zoë "Z" Müller',
        "description": 'Walking, sitting & "lying".',
        "licence": "Apache-2.0",
        "python_version": "3.12",
        "data_source": "files",
        "sensors": "accelerometer",
        "accelerometer_unit": "m/s^2",
        "further_channels": "{pressure: hPa, pulse: bpm}",
        "rate_hz": "25",
        "window_s": "2.56",
        "overlap": "0.25",
        "schedules": "false",
    },
    "gyroscope": {
        "project_name": "Garmin Gyro",
        "licence": "LicenseRef-Proprietary",
        "data_source": "garmin-fit",
        "sensors": "gyroscope",
        "rate_hz": "100",
        "window_s": "10",
        "tracking": "postgres",
    },
}
"""Sets of answers; together they change every default."""


def git(*words: str, cwd: Path) -> str:
    """Run git with a name for its commits; return its output."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str) -> None:
    """Commit all files of the folder."""
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--allow-empty", f"--message={message}", cwd=folder)


def call(*command: str | Path, cwd: Path, **variables: str) -> Done:
    """Run a command without input; return its status and output."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def in_project(project: Path, *command: str, **variables: str) -> Done:
    """Run a Python command with this environment's packages and the project's own code."""
    paths = {"PYTHONPATH": f"{project / 'src'}{os.pathsep}{project}", "HAR_ROOT": str(project)}
    return call(sys.executable, *command, cwd=project, **(paths | variables))
