"""`har labels` as people type it, and `har status` of a lake that a label without a subject spoilt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake
from journal_support import Log, feedback
from label_support import given
from loop_support import fill, score, write_mean_model
from rich.console import Console

from har.labelling import Store, store_path
from har.lake import Lake
from har.monitoring.decisions import request_labels
from har.settings import Settings
from har_cli import main

DAY = dt.date(2024, 1, 18)
Har = Callable[..., tuple[int, str]]


@pytest.fixture
def har(project: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Har:
    """Run `har` in this process: its exit status, and what it printed with single blanks."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("har_cli.labels.out", Console(width=200))
    monkeypatch.setattr("har_cli._label_page.out", Console(width=200))

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture
def recorded(lake: Lake, settings: Settings) -> Lake:
    """A day of two subjects without labels."""
    fill(lake, settings, [DAY], ["s01", "s02"], labelled=False)
    return lake


def test_a_table_is_looked_at_imported_and_taken_back(har: Har, recorded: Lake, tmp_path: Path) -> None:
    path = tmp_path / "diary.csv"
    path.write_text("subject;start;end;activity\ns01;2024-01-18 09:00:00;2024-01-18T09:00:20Z;ROW\n")
    status, text = har("labels", str(path), "--dry-run")
    assert status == 0
    assert "9 windows of 1 recordings match the 1 labels" in text
    assert "Nothing was imported: 1 labels would be new." in text
    assert recorded.labels.version() == -1
    status, text = har("labels", str(path))
    assert "1 labels are new, of 1" in text
    batch = text.rpartition(" ")[2]
    assert text.endswith(f"To take them back: har labels --undo {batch}")
    assert batch in har("labels", "--batches")[1]
    assert har("labels", "--undo", batch) == (0, "1 labels were taken back.")
    assert har("labels", "--batches") == (0, "No labels were imported yet: har labels FILE.")
    assert har("labels", "--undo", batch)[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--batches", "--feedback"),
        ("--dry-run",),
        ("x.csv", "--undo", "y"),
        ("--accept", "all", "--reject", "all"),
        ("--prepare", "--agreement"),
        ("--shared", "0.2"),
        ("--format", "csv"),
    ],
)
def test_one_thing_at_a_time(har: Har, words: tuple[str, ...]) -> None:
    status, text = har("labels", *words)
    assert status == 2
    assert "LabelError: har labels: expected one of" in text


def test_an_empty_list_says_why(har: Har, recorded: Lake, settings: Settings, tmp_path: Path) -> None:
    assert har("labels") == (0, "No labels are wanted: nothing was scored yet. Score the recordings: har score.")
    assert har("labels", "--out", str(tmp_path / "asked.csv"))[1].endswith("Score the recordings: har score.")
    assert (tmp_path / "asked.csv").read_text() == "subject,start,end,activity\n"
    score(recorded, settings, write_mean_model(tmp_path / "m" / "model.onnx", settings), 1)
    assert har("labels")[1].endswith("no day was monitored yet. Judge the scored days: har monitor.")
    decided = {
        "date": DAY,
        "subject": "everyone",
        "decision_id": "2024-01-18-retrain-1a2b3c4d",
        "action": "retrain",
        "reasons": ["5001 windows with labels are new."],
        "event": "har.labels.arrived",
        "payload": "{}",
        "model_version": 1,
        "decided_at": dt.datetime(2024, 1, 19, tzinfo=dt.UTC),
        "attempts": 0,
        "outcome": "",
    }
    recorded.decisions.add(pl.DataFrame([decided], recorded.decisions.schema), ["decision_id"])
    waits = "has not started: `make up` starts it, or by hand: har train --decision 2024-01-18-retrain-1a2b3c4d"
    for command in ("labels", "status"):
        status, text = har(command)
        assert status == 0
        assert waits in text


def test_feedback_is_listed_accepted_and_rejected(har: Har, recorded: Lake, settings: Settings, tmp_path: Path) -> None:
    assert "no feedback in the lake" in har("labels", "--feedback")[1]
    score(recorded, settings, write_mean_model(tmp_path / "m" / "model.onnx", settings), 1)
    nine = round(dt.datetime(2024, 1, 18, 9, tzinfo=dt.UTC).timestamp()) * 1_000_000
    log = Log(settings)
    claim = {"start_us": nine, "end_us": nine + 60_000_000, "source": "10.0.0.7, with token"}
    log.write(feedback("f1", "ABD", subject="s01", **claim), feedback("f2", "PEN", subject="s99", **claim))
    log.collect(recorded)
    status, text = har("labels", "--feedback")
    assert status == 0
    assert "10.0.0.7, with token" in text
    assert "29 of 29" in text, "the model was sure of another activity"
    assert "1 waiting for their windows" in text
    assert har("labels", "--accept", "subject=s99")[1].endswith(
        "1 cannot be accepted yet: their windows are not in the lake."
    )
    assert har("labels", "--accept", "all")[1].startswith("1 feedbacks were accepted")
    assert "accepted" in har("labels", "--feedback")[1]
    assert har("labels", "--reject", "f1")[1].startswith("1 feedbacks were rejected")
    status, text = har("labels", "--accept", "subject=nobody")
    assert status == 2
    assert "har labels --feedback" in text


def test_a_spoilt_lake_shows_its_status_and_the_way_out(har: Har, recorded: Lake) -> None:
    nine = dt.datetime(2024, 1, 18, 9, tzinfo=dt.UTC)
    row = {"date": DAY, "subject": None, "start": nine, "end": nine, "feedback_id": "table-1", "received_at": nine}
    old = pl.DataFrame([row], pl.Schema(list(recorded.labels.schema.items())[:8]))
    write_deltalake(str(recorded.labels.path), old, partition_by=["date", "subject"])
    status, text = har("status")
    assert status == 0
    assert "Labels without a subject; take them out: har labels --undo before-20240118T090000.000000" in text
    assert har("labels", "--undo", "before-20240118T090000.000000")[0] == 0
    assert "without a subject" not in har("status")[1]


def test_the_pages_tasks_are_prepared_and_its_answers_exported(
    har: Har, recorded: Lake, settings: Settings, tmp_path: Path
) -> None:
    assert har("labels", "--prepare")[1].startswith("The page /label has nothing to show. No labels are wanted")
    assert har("labels", "--agreement")[1].startswith("No window was answered by two people yet")
    score(recorded, settings, write_mean_model(tmp_path / "m" / "model.onnx", settings, gain=0.2), 1)
    request_labels(recorded, settings, (DAY, DAY), "d1", limit=4)
    status, text = har("labels", "--prepare", "--shared", "1")
    assert status == 0
    assert "4 windows wait on the page /label of the online service, 4 of them new." in text
    assert "4 of them are given to two people" in text
    assert har("labels", "--prepare", "--shared", "2")[0] == 2
    status, text = har("labels", "--out", str(tmp_path / "asked.json"))
    assert "4 windows to label in Label Studio" in text
    assert (tmp_path / "asked.xml").exists()
    store = Store(store_path(settings.path("journal")))
    for labeller, said in (("ann", "PEN ABD PEN ABD"), ("ben", "PEN ABD PEN PEN")):
        for task, activity in zip(store.tasks(), said.split(), strict=True):
            store.answer(given(task, labeller, activity))
    text = har("labels", "--agreement")[1]
    assert "ann, ben" in text
    assert "75%" in text
    assert "All pairs: kappa 0.50 (mean), 4 windows that several people decided." in text
    assert "1 windows are in dispute" in text
    assert "6 labels are new from the page /label" not in text
    assert "8 labels are new from the page /label; 0 were decided anew." in har("collect")[1]
    status, text = har("labels", "--export", str(tmp_path / "answers.csv"))
    assert text.startswith("8 answers about 4 windows: ")
    assert har("labels", str(tmp_path / "answers.csv"), "--dry-run")[0] == 0
    status, text = har("labels", "--export", str(tmp_path / "answers"))
    assert status == 2
    assert "--format csv or label-studio" in text
    assert har("labels", "--export", str(tmp_path / "answers"), "--format", "label-studio")[0] == 0
