"""The jobs one after the other: ingest, train, score; what they repeat, what they refuse, what they write."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from run_support import evaluate, ingest, score, train
from tests_support import write_recording

from har.errors import ModelMismatchError, NoChampionError, NotEnoughDataError, SettingsError
from har.project import open_project
from har.settings import Settings


def test_the_whole_loop_and_nothing_twice(two_days: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(ingest().landed) == 18
    first = train()
    printed = " ".join(capsys.readouterr().err.split())
    assert "No training window of FEL, IR, ER, TRAP: the model will never find it." in printed
    assert first.metrics["activities_missing"] == 4
    assert first.trained
    assert first.promoted
    assert first.metrics["accuracy"] > 0.9
    scored = score()
    assert (scored.days, scored.partitions) == (2, 12)
    assert scored.windows > 0
    assert all(path.exists() for path in scored.summaries)
    assert (two_days.path("reports") / f"model-{first.version}.html").exists()
    home = (two_days.path("reports") / "index.html").read_text()
    assert f'href="model-{first.version}.html"' in home
    assert all(f'href="activity/{path.name}"' in home for path in scored.summaries)

    assert len(ingest().known) == 18
    again = train()
    assert (again.version, again.trained, again.promoted) == (first.version, False, True)
    assert (score().windows, score(rescore=True).windows) == (0, 0)

    second = train(seed=1)
    assert second.version == first.version + 1
    if second.promoted:
        assert score().windows == 0
        assert score(rescore=True).windows == scored.windows
        assert score(rescore=True).windows == 0
    moves = [move.action for move in open_project().registry.log()]
    assert moves[:2] == ["challenge", "promote"]
    assert open_project().registry.verify_log() == len(moves)


def test_one_date_only(two_days: Settings) -> None:
    report = ingest(date=dt.date(2024, 1, 2))
    assert {name.split("/")[0] for name in report.landed} == {"2024-01-02"}


def test_a_bad_file_goes_to_quarantine_and_the_others_land(two_days: Settings) -> None:
    bad = two_days.path("inbox") / "2024-01-01" / "s09_a.csv"
    bad.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    report = ingest()
    assert [one.file for one in report.quarantined] == ["2024-01-01/s09_a.csv"]
    assert len(report.landed) == 18
    assert (two_days.path("quarantine") / "2024-01-01" / "s09_a.csv.json").exists()


def test_no_champion_yet(two_days: Settings) -> None:
    with pytest.raises(NoChampionError, match="har train"):
        score()


def test_nothing_to_train_on(settings: Settings) -> None:
    with pytest.raises(NotEnoughDataError, match="har ingest"):
        train()


def test_an_unknown_network_in_har_toml_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_TRAINING__NETWORK", "resnet")
    for job in (train, evaluate):
        with pytest.raises(SettingsError, match=r"training\.network: .* but got 'resnet'"):
            job()


def test_a_subject_with_one_short_recording_does_not_stop_the_others(two_days: Settings) -> None:
    write_recording(two_days.path("inbox"), "2024-01-01", "s99", "short", "PEN", seconds=1.5)
    ingest()
    report = train()
    assert "s99" not in str(open_project().registry.recipe(report.version).split)
    assert score().partitions == 13


def test_a_model_of_other_settings_is_refused_by_name(two_days: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest()
    train()
    monkeypatch.setenv("HAR_WINDOWS__LENGTH_S", "2.0")
    with pytest.raises(ModelMismatchError, match="length: expected 100, but got 200"):
        score()


def test_cross_validation_is_answered_once(two_days: Settings) -> None:
    ingest()
    first = evaluate(folds=2, seeds=1)
    assert {
        "accuracy",
        "accuracy_std",
        "macro_f1",
        "accuracy_low",
        "accuracy_high",
        "subjects",
        "windows",
        "network",
    } <= set(first)
    assert first["subjects"] == 6
    written = json.loads((two_days.path("reports") / "evaluation.json").read_text())
    assert written == first
    assert 'href="evaluation.html"' in (two_days.path("reports") / "index.html").read_text()
    page = (two_days.path("reports") / "evaluation.html").stat().st_mtime_ns
    assert evaluate(folds=2, seeds=1) == first
    assert (two_days.path("reports") / "evaluation.html").stat().st_mtime_ns == page
