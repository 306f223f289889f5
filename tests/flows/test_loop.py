"""The flows on a real server: ingest, train, score; what they repeat, what they refuse, what they show."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.states import State
from tests_support import write_recording

from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.score import score
from flows.train import train
from har.errors import ModelMismatchError, NoChampionError, NotEnoughDataError
from har.project import open_project
from har.settings import Settings
from har_cli import main


def end_of(flow, **parameters: object) -> State:
    return flow(**parameters, return_state=True)


def artifacts() -> set[str | None]:
    with get_client(sync_client=True) as client:
        return {artifact.key for artifact in client.read_latest_artifacts()}


def test_the_whole_loop_and_nothing_twice(server: str, two_days: Settings) -> None:
    landed = end_of(ingest)
    assert (landed.name, len(landed.result().landed)) == ("Completed", 18)
    first = train()
    assert first.trained
    assert first.promoted
    assert first.metrics["accuracy"] > 0.9
    scored = score()
    assert (scored.days, scored.partitions) == (2, 12)
    assert scored.windows > 0
    assert all(path.exists() for path in scored.summaries)
    assert (two_days.path("reports") / f"model-{first.version}.html").exists()
    assert {"ingest-run", "train-run", "train-report", "score-run", "activity-summaries"} <= artifacts()

    assert len(end_of(ingest).result().known) == 18
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


def test_one_date_only(server: str, two_days: Settings) -> None:
    report = end_of(ingest, date=dt.date(2024, 1, 2)).result()
    assert {name.split("/")[0] for name in report.landed} == {"2024-01-02"}


def test_a_bad_file_makes_a_warning_state(server: str, two_days: Settings) -> None:
    bad = two_days.path("inbox") / "2024-01-01" / "s09_a.csv"
    bad.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    state = end_of(ingest)
    assert state.is_completed()
    assert state.name == "CompletedWithWarnings"
    assert "2024-01-01/s09_a.csv" in str(state.message)
    assert len(state.result().landed) == 18
    assert (two_days.path("quarantine") / "2024-01-01" / "s09_a.csv.json").exists()
    assert "quarantine" in artifacts()


def test_no_champion_yet(server: str, two_days: Settings) -> None:
    with pytest.raises(NoChampionError, match="har train"):
        score()


def test_nothing_to_train_on(server: str, settings: Settings) -> None:
    with pytest.raises(NotEnoughDataError, match="har ingest"):
        train()


def test_a_subject_with_one_short_recording_does_not_stop_the_others(server: str, two_days: Settings) -> None:
    write_recording(two_days.path("inbox"), "2024-01-01", "s99", "short", "PEN", seconds=1.5)
    ingest()
    report = train()
    assert "s99" not in str(open_project().registry.recipe(report.version).split)
    assert score().partitions == 13


def test_a_model_of_other_settings_is_refused_by_name(
    server: str, two_days: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest()
    train()
    monkeypatch.setenv("HAR_WINDOWS__LENGTH_S", "2.0")
    with pytest.raises(ModelMismatchError, match="length: expected 100, but got 200"):
        score()


def test_cross_validation_is_answered_once(server: str, two_days: Settings) -> None:
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
    page = (two_days.path("reports") / "evaluation.html").stat().st_mtime_ns
    assert evaluate(folds=2, seeds=1) == first
    assert (two_days.path("reports") / "evaluation.html").stat().st_mtime_ns == page


def test_commands(
    server: str, two_days: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def har(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    status, text = har("ingest")
    assert status == 0
    assert "18 files ingested" in text
    status, text = har("score")
    assert status == 2
    assert "NoChampionError" in text
    assert "Traceback" not in text
    assert har("train")[0] == 0
    status, text = har("score")
    assert status == 0
    assert "12 subject-days scored by version 1" in text
    status, text = har("rollback", "--reason", "because")
    assert status == 2
    assert "previous champion" in text
    assert "champion" in har("models")[1]
    assert "version 1" in har("status")[1]


@pytest.mark.parametrize("words", [("promote", "7", "--reason", "x"), ("reproduce", "7")])
def test_unknown_version(project: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["har", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
