"""`har demo` as a user runs it: real recordings in, one table and flat figures out, and nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests_support import copy_code

from har.lake import Lake
from har.settings import load_settings

KEYS = {
    "accuracy",
    "macro_f1",
    "accuracy_low",
    "accuracy_high",
    "days_scored",
    "windows_scored",
    "model_version",
    "seconds",
}


def demo(project: Path) -> str:
    """Run the demo with fewer folds and epochs than by default, and check that it leaves no process."""
    environment = {**os.environ, "HAR_TRAINING__EPOCHS": "6", "HAR_SPLIT__FOLDS": "2", "HAR_GATES__CLASS_FLOOR": "0"}
    command = [sys.executable, "-m", "flows.cli", "demo"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline", "environ"])
        if str(project) in str((process.info["environ"] or {}).get("PREFECT_HOME"))
    ]
    assert left == []
    return done.stdout


def journal(project: Path) -> list[str]:
    """The request ids in the prediction log."""
    files = (project / "data" / "journal").glob("*.jsonl")
    return [json.loads(line)["request_id"] for path in files for line in path.read_text().splitlines()]


@pytest.mark.timeout(900)
def test_demo_twice(project: Path) -> None:
    copy_code(project)
    first = demo(project)
    assert "Accuracy by subject" in first
    assert "Look next" in first
    assert "Held-out subjects, asked of" in first
    figures = json.loads((project / "reports" / "demo.json").read_text())
    assert set(figures) >= KEYS
    assert all(isinstance(value, int | float) for value in figures.values())
    assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
    assert figures["accuracy"] > 0.7
    assert (figures["days_scored"], figures["windows_scored"], figures["model_version"]) == (7, 2229, 1)
    assert len(list((project / "reports" / "activity").glob("*.html"))) == 7
    assert (project / "reports" / "evaluation.html").exists()
    assert figures["online_windows"] == 12
    assert figures["online_right"] >= 8
    asked = journal(project)
    assert len(asked) == len(set(asked)) == 12

    settings = load_settings(project)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    tables = (lake.samples, lake.recordings, lake.predictions, lake.scores)
    versions = [table.version() for table in tables]
    demo(project)
    again = json.loads((project / "reports" / "demo.json").read_text())
    assert [table.version() for table in tables] == versions
    assert {key: again[key] for key in KEYS - {"seconds"}} == {key: figures[key] for key in KEYS - {"seconds"}}
    assert again["windows_scored_now"] == 0
    assert sorted(journal(project)) == sorted(2 * asked)
    assert len(list((project / ".bentoml" / "bentos").glob("*/v1-*"))) == 2
