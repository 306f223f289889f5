"""`har demo` as a user runs it: all acts on real recordings, one table and flat figures out, and nothing twice.

The second act is the proof that the loop closes: a real server, worker and deployments, and nobody who calls train.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests_support import HAR_TOML, copy_code

from har.jobs.package import TAGS
from har.lake import Lake
from har.monitoring import DecisionLog
from har.registry import Registry
from har.settings import load_settings
from infra.local.third_party import installed

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "accuracy",
    "macro_f1",
    "accuracy_low",
    "accuracy_high",
    "days_scored",
    "windows_scored",
    "model_version",
    "seconds",
    "loop_accuracy_before",
    "loop_accuracy_turned",
    "loop_accuracy_after",
    "loop_false_alarms",
    "loop_days_to_alarm",
    "loop_model_version",
}


def demo(project: Path, *options: str) -> str:
    """Run the demo with fewer folds than by default, and check that it leaves no process."""
    environment = {**os.environ, "HAR_SPLIT__FOLDS": "2", "HAR_GATES__CLASS_FLOOR": "0"}
    command = [sys.executable, "-m", "har_cli", "demo", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A project whose demo has run once, and what it printed."""
    project = tmp_path_factory.mktemp("demo") / "project"
    project.mkdir()
    (project / "har.toml").write_text(HAR_TOML)
    copy_code(project)
    shutil.copytree(ROOT / "flows", project / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "prefect.yaml", project / "prefect.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAR_ROOT", str(project))
        yield project, demo(project, "--acts", "2")


def figures_of(project: Path) -> dict[str, float]:
    figures: dict[str, float] = json.loads((project / "reports" / "demo.json").read_text())
    return figures


@pytest.mark.timeout(900)
def test_the_demo_runs_and_its_loop_closes(finished: tuple[Path, str]) -> None:
    project, printed = finished
    assert "Accuracy by subject" in printed
    assert "Look next" in printed
    assert "Held-out subjects, classified by" in printed
    figures = figures_of(project)
    assert set(figures) >= KEYS
    assert all(isinstance(value, int | float) for value in figures.values())
    assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
    assert figures["accuracy"] > 0.7
    assert (figures["days_scored"], figures["windows_scored"], figures["model_version"]) == (7, 2229, 1)
    assert len(list((project / "reports" / "activity").glob("*.html"))) == 7 + 15
    assert (project / "reports" / "evaluation.html").exists()
    assert figures["online_windows"] == 12
    assert figures["online_right"] >= 8
    asked = journal(project)
    assert len(asked) == len(set(asked)) == 12
    the_loop_closed(project, figures)


@pytest.mark.release
@pytest.mark.timeout(900)
def test_a_second_demo_finds_everything_done_and_goes_on(finished: tuple[Path, str]) -> None:
    project, _ = finished
    figures = figures_of(project)
    settings = load_settings(project)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    tables = (lake.samples, lake.recordings, lake.predictions, lake.scores, lake.profiles, lake.drift, lake.decisions)
    versions = [table.version() for table in tables]
    demo(project)
    again = figures_of(project)
    assert [table.version() for table in tables] == versions
    assert {key: again[key] for key in KEYS - {"seconds"}} == {key: figures[key] for key in KEYS - {"seconds"}}
    assert again["windows_scored_now"] == 0
    assert len(list((project / ".bentoml" / "bentos").glob("*/v1-*"))) == 2
    if installed("haproxy"):
        assert again["release_promoted"] == 1 and again["release_failed"] == 0
        assert again["broken_taken_back"] == 1 and again["broken_failed_after"] == 0
        assert len(list((project / "reports" / "releases").glob("*.html"))) == 2
    else:
        assert "release_promoted" not in again


def the_loop_closed(project: Path, figures: dict[str, float]) -> None:
    """Ten good days without an alarm; two turned ones; retrained, promoted and packaged by itself; and all is well."""
    assert figures["loop_false_alarms"] == 0
    assert figures["loop_days_to_alarm"] == 2
    assert figures["loop_accuracy_turned"] < figures["loop_accuracy_before"] - 0.1
    assert figures["loop_accuracy_after"] >= figures["loop_accuracy_before"] - 0.03
    assert figures["loop_model_version"] == 2

    settings = load_settings(project)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    rows = DecisionLog(lake).rows()
    # Nothing serves online while the demo's first two acts run: what is promoted is released at once.
    assert {row.payload["version"] for row in rows if row.action == "release"} == {1, 2}
    log = [row for row in rows if row.action != "release"]
    acted = [(str(row.date), row.action, row.outcome) for row in log if row.action != "nothing"]
    assert acted == [
        ("2024-01-18", "watch", ""),
        ("2024-01-19", "ask", "announced"),
        ("2024-01-19", "retrain", "version 2 promoted"),
    ]
    assert len(log) == 15 + 1
    assert all(row.handled_at is not None for row in log if row.event)
    assert len(lake.label_requests.read()) == settings.retraining.label_requests
    registry = Registry(settings.path("mlflow"), settings.project.name)
    moves = [move for move in registry.log() if move.action != "release"]
    assert [move.action for move in moves] == ["challenge", "promote", "challenge", "promote"]
    assert "har.drift.confirmed" in moves[-1].reason or "Drift" in moves[-1].reason
    assert all(name in registry.champion().tags for name in TAGS)
    assert len(list((project / ".bentoml" / "bentos").glob("*/v2-*"))) == 2
    for day in json.loads((project / "reports" / "loop.json").read_text())["days"]:
        assert (project / "reports" / "drift" / f"{day['date']}.html").exists()
    assert "turned" in (project / "reports" / "loop.html").read_text()
    home = project / "reports" / "index.html"
    for link in re.findall(r'href="([^"]*)"', home.read_text()):
        assert (home.parent / link).exists()
    assert 'href="loop.html"' in home.read_text()
