"""A search with real trainings: on other subjects than the held-out ones, reported with what the best is worth."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_support import ingest
from tests_support import write_recording

from har.dataset import load_windows
from har.errors import SettingsError
from har.jobs import _search
from har.jobs.tune import TuningReport
from har.project import open_project
from har.settings import Settings, load_settings
from har.training import Fitted, fit
from har.windows import WindowSet

BOUNDS = """
[split]
folds = 2

[tuning]
confirm = 1
bounds = { epochs = [1], hidden = [8, 16], batch_size = [16, 32] }
"""


def tune(**options: Any) -> TuningReport:
    from har.jobs.tune import tune as job

    return job(open_project(), **options)


@pytest.fixture
def searched(project: Path) -> Settings:
    """Six subjects with three activities in the lake; networks are trained for one epoch."""
    toml = (project / "har.toml").read_text()
    (project / "har.toml").write_text(toml.replace("epochs = 12", "epochs = 1  # of few windows") + BOUNDS)
    for subject in range(1, 7):
        for name in ("PEN", "ABD", "ROW"):
            write_recording(project / "data" / "inbox", "2024-01-01", f"s0{subject}", name.lower(), name, seconds=16)
    ingest()
    return load_settings(project)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Subjects whose windows each training gets, and those that it trains on."""
    seen: list[set[str]] = []

    def watched(windows: WindowSet, train: Sequence[str], validation: Sequence[str], **options: Any) -> Fitted:
        seen.append({*windows.subjects.tolist(), *train, *validation})
        return fit(windows, train, validation, **options)

    monkeypatch.setattr("har.jobs._cross_validation.fit", watched)
    return seen


def test_a_search_goes_on_reports_and_is_applied(searched: Settings, asked: list[set[str]]) -> None:
    first = tune(trials=2)
    figures = first.figures
    assert figures["trials"] == {"complete": 2, "pruned": 0, "failed": 0, "running": 0}
    held_out = set(figures["held_out_never_read"])
    assert len(held_out) == 2
    assert asked
    for subjects in asked:
        assert subjects.isdisjoint(held_out)
    assert figures["subjects"] == 4
    assert figures["start"]["low"] <= figures["start"]["value"] <= figures["best"]["value"] <= figures["best"]["high"]

    trained = len(asked)
    again = tune(trials=0)
    assert len(asked) == trained, "what is known is not trained again"
    assert again.figures == figures
    more = tune(trials=2, apply=True)
    assert sum(more.figures["trials"].values()) == 4
    assert more.figures["tried"][:2] == figures["tried"]
    page = more.page.read_text(encoding="utf-8")
    assert "4\N{NO-BREAK SPACE}configurations of <strong>spectral</strong> tried" in page
    assert 'href="tuning.html"' in (searched.path("reports") / "index.html").read_text()
    assert json.loads((searched.path("reports") / "tuning.json").read_text()) == json.loads(json.dumps(more.figures))
    best = more.figures["best"]["values"]
    if more.applied:
        assert more.lines in page.replace("&#34;", '"')
        assert more.figures["further_seeds"]["seeds"] == 1
        now = load_settings(searched.root)
        assert now.training.values["hidden"] == best["hidden"]
        assert now.training.batch_size == best["batch_size"]
        assert "epochs = 1  # of few windows" in (searched.root / "har.toml").read_text()
    else:
        assert more.figures["best"]["number"] == 0


def test_held_out_subjects_decide_nothing(searched: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With garbage for signals and labels of the held-out subjects, the search is the same to the last window."""
    held_out = sorted(tune(trials=2).figures["held_out_never_read"])
    for path in searched.path("runs").rglob("studies.db*"):
        path.rename(path.with_name("kept.db"))
    before = json.loads((searched.path("reports") / "tuning.json").read_text())
    generator = np.random.default_rng(0)

    def garbage(*arguments: Any, **options: Any) -> WindowSet:
        windows = load_windows(*arguments, **options)
        mine = np.isin(windows.subjects, held_out)
        assert mine.any()
        windows.labels[mine] = generator.integers(0, 7, mine.sum())
        for start in windows.starts[mine]:
            windows.samples[start : start + windows.length] = np.nan
        return windows

    monkeypatch.setattr(_search, "load_windows", garbage)
    _search._windows.cache_clear()
    after = tune(trials=2).figures
    assert after["tried"] == before["tried"]
    assert (after["start"], after["best"]) == (before["start"], before["best"])


def test_the_judges_of_the_champion_are_held_out_too(searched: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Champion:
        number = 1

    class Registry:
        @staticmethod
        def recipe(number: int) -> Any:
            return type("Recipe", (), {"split": {"held_out": [judge]}})

    project = type(open_project())
    drawn = set(tune(trials=1, folds=3).figures["held_out_never_read"])
    judge = min({"s01", "s02", "s03"} - drawn)
    monkeypatch.setattr(project, "champion", Champion())
    monkeypatch.setattr(project, "registry", Registry())
    assert set(tune(trials=1, folds=3).figures["held_out_never_read"]) == {*drawn, judge}


def test_windows_are_searched_and_a_failing_configuration_is_a_result(
    searched: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choosy(windows: WindowSet, *arguments: Any, **options: Any) -> Fitted:
        if options["options"].values.get("hidden") == 16 and windows.length != 200:
            raise RuntimeError("16 does not fit")
        return fit(windows, *arguments, **options)

    toml = searched.root / "har.toml"
    bounds = "bounds = { epochs = [1], hidden = [16], length_s = [4.0, 2.0] }"
    toml.write_text(
        toml.read_text().replace("bounds = { epochs = [1], hidden = [8, 16], batch_size = [16, 32] }", bounds)
    )
    monkeypatch.setattr("har.jobs._cross_validation.fit", choosy)
    figures = tune(trials=5, groups=["windows"]).figures
    by_length = {trial["values"]["length_s"]: trial for trial in figures["tried"]}
    assert set(by_length) == {4.0, 2.0}
    assert by_length[4.0]["state"] in ("complete", "pruned")
    assert (by_length[2.0]["state"], by_length[2.0]["reason"]) == ("failed", "RuntimeError: 16 does not fit")


def test_refusals(searched: Settings) -> None:
    with pytest.raises(SettingsError, match="Did you mean 'spectral'"):
        tune(network="spektral")
    (searched.root / "har.toml").write_text((searched.root / "har.toml").read_text().replace("hidden =", "hiden ="))
    with pytest.raises(SettingsError, match=r"tuning\.bounds: .*Did you mean 'hidden'"):
        tune(trials=1)


def search(root: str, trials: int) -> None:
    os.environ["HAR_ROOT"] = root
    tune(trials=trials)


@pytest.mark.stack
@pytest.mark.release
def test_a_search_that_was_killed_goes_on(searched: Settings) -> None:
    process = multiprocessing.get_context("spawn").Process(target=search, args=(str(searched.root), 200))
    process.start()
    found = searched.path("runs") / "tuning" / "studies.db"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not _complete(found):
        time.sleep(0.2)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    report = tune(trials=2)
    made = report.figures["trials"]
    assert made["running"] == 0
    assert made["complete"] >= 3
    assert made["failed"] <= 1
    assert all(trial["reason"] == "its process was killed" for trial in report.figures["tried"] if trial["reason"])


def _complete(path: Path) -> bool:
    import sqlite3

    if not path.exists():
        return False
    with sqlite3.connect(path) as database:
        names = [row[0] for row in database.execute("select name from sqlite_master")]
        if "trials" not in names:
            return False
        return database.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0] >= 2


@pytest.mark.stack
@pytest.mark.release
def test_processes_search_several_configurations_at_a_time(searched: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_ENGINE__KIND", "processes")
    monkeypatch.setenv("HAR_ENGINE__WORKERS", "2")
    report = tune(trials=4)
    assert sum(report.figures["trials"].values()) == 4
    assert report.figures["trials"]["running"] == 0
