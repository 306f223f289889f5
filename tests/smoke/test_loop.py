"""The whole loop once, as `har demo --acts 1` runs it, on a copy of the project's code and settings.

It ingests the embedded sample, trains, cross-validates, scores, packages the champion, and sends windows to the online
service over HTTP.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from har.settings import Settings, load_settings

FOLDERS = ("bentos", "flows", "infra", "requirements", "src")
FILES = (".bentoignore", "bentofile.yaml", "har.toml", "prefect.yaml")
RELAXED = {
    "HAR_SPLIT__FOLDS": "2",
    "HAR_SPLIT__HELD_OUT": "[]",
    "HAR_GATES__CLASS_FLOOR": "0",
}
"""Fewer folds, and limits that the first model passes on a busy machine."""


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Path:
    """A copy of the project without its data and models."""
    copy = tmp_path / "project"
    for name in FOLDERS:
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(root / name, copy / name)
    return copy


def run(copy: Path, *words: str) -> str:
    """Run the project's `har` command with the code and in the folder of the copy; return its output."""
    outside = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    environment |= RELAXED | {"PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}", "COLUMNS": "200"}
    command = [str(Path(sys.executable).with_name("har")), *words]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_the_sample_is_ingested_trained_on_scored_and_served(copied: Path, own_settings: Settings) -> None:
    before = {path.name for path in copied.iterdir()}
    output = run(copied, "demo", "--acts", "1")
    apart = (copied / "demo").is_dir()
    if apart:  # a project about other activities: its own lake and models stay untouched
        assert "a project of its own" in " ".join(output.split())
        assert {path.name for path in copied.iterdir()} - before <= {"demo", "__pycache__"}
    shown = load_settings(copied / "demo" if apart else copied)
    assert shown.sensors.rate_hz == own_settings.sensors.rate_hz
    reports = shown.path("reports")
    figures = json.loads((reports / "demo.json").read_text(encoding="utf-8"))
    assert figures["accuracy"] > 3 / len(shown.activities.all), "three times as good as guessing"
    assert figures["days_scored"] == 7
    assert figures["windows_scored"] > 0
    assert figures["online_windows"] == 12
    assert len(list((reports / "activity").glob("*.html"))) == 7
