"""`make clean` keeps data, and `make clean-data` asks a person first."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import write_recording

from har.project import Project
from har.settings import Settings
from infra.local.clean import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project with two recordings of one day in its inbox and its lake."""
    from har.jobs.ingest import ingest

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for subject in ("s01", "s02"):
        write_recording(settings.path("inbox"), "2024-01-01", subject, "a", seconds=10)
    ingest(Project(settings))
    return settings


def answers(monkeypatch: pytest.MonkeyPatch, text: str, *, person: bool = True) -> None:
    stdin = io.StringIO(text)
    monkeypatch.setattr(stdin, "isatty", lambda: person)
    monkeypatch.setattr(sys, "stdin", stdin)


def test_nothing_is_deleted_without_a_person(used: Settings, monkeypatch, capsys) -> None:
    answers(monkeypatch, "yes\n", person=False)
    assert main() == 2
    assert "a person has to type the answer" in capsys.readouterr().err
    assert len(list(used.path("inbox").rglob("*.csv"))) == 2


@pytest.mark.parametrize("answer", ["", "\n", "y\n", "YES\n", "no\n"])
def test_anything_but_the_word_deletes_nothing(used: Settings, monkeypatch, answer: str) -> None:
    answers(monkeypatch, answer)
    assert main() == 1
    assert used.path("lake").exists()


def test_the_word_deletes_what_was_listed(used: Settings, monkeypatch, capsys) -> None:
    answers(monkeypatch, "yes\n")
    assert main() == 0
    told = capsys.readouterr().out
    assert "2 recordings of 1 days, the only raw data" in told
    assert "1,000 samples of 1 days, 0 predictions" in told
    assert [path.name for path in used.root.iterdir()] == ["data", "har.toml"]
    assert list((used.root / "data").iterdir()) == []


def test_make_clean_keeps_everything_that_cannot_be_made_again(used: Settings) -> None:
    root = used.root
    shutil.copy(ROOT / "Makefile", root)
    kept = ["mlruns", "reports", ".bentoml", "data/journal", "data/quarantine", ".prefect", "demo"]
    made = ["site", "runs", ".pytest_cache", "src/__pycache__"]
    for name in [*kept, *made]:
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "file").write_text("")
    (root / "demo" / "har.toml").write_text('[project]\nname = "mine"\n')
    environment = {**os.environ, "MAKEFLAGS": ""}
    subprocess.run(["make", "clean"], cwd=root, env=environment, check=True, capture_output=True)
    assert all((root / name / "file").exists() for name in kept)
    assert not any((root / name).exists() for name in made)
    assert len(list(used.path("inbox").rglob("*.csv"))) == 2
    assert used.path("lake").exists()
    (root / "demo" / "har.toml").write_text('[project]\nname = "mine-demo"\n')
    subprocess.run(["make", "clean"], cwd=root, env=environment, check=True, capture_output=True)
    assert not (root / "demo").exists()
