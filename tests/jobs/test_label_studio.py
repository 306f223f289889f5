"""Label Studio's JSON: what is written can be read again, and what makes no sense is refused with its task."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import polars as pl
import pytest
from label_support import given
from loop_support import fill, score, write_mean_model

from har.errors import LabelError
from har.jobs._label_studio import read_label_studio
from har.jobs.label import batches, import_labels, read_labels, undo_batch
from har.jobs.label_page import export_answers, prepare_tasks, write_tasks
from har.labelling import Store, Task, store_path
from har.lake import Lake
from har.monitoring.decisions import request_labels
from har.project import Project
from har.settings import Settings

DAY = dt.date(2024, 1, 18)
NINE_MS = 1_705_568_400_000


@pytest.fixture
def asked(lake: Lake, settings: Settings) -> Project:
    """Windows of s01 and s02 that wait on the page."""
    fill(lake, settings, [DAY], ["s01", "s02"], labelled=False)
    score(lake, settings, write_mean_model(settings.root / "model.onnx", settings, gain=0.2), 1)
    request_labels(lake, settings, (DAY, DAY), "d1", limit=6)
    project = Project(settings)
    prepare_tasks(project, shared=0.5)
    return project


@pytest.fixture
def answered(asked: Project) -> tuple[Project, list[Task]]:
    """Four of them answered: a label, one for another range, unusable, unsure; and one in dispute."""
    store = Store(store_path(asked.settings.path("journal")))
    tasks = sorted(store.tasks(), key=lambda one: one.people)
    alone, pair = tasks[:4], tasks[-1]
    store.answer(given(alone[0], activity="ROW"))
    store.answer(given(alone[1], activity="PEN", start_us=alone[1].start_us - 1_500_250, end_us=alone[1].end_us))
    store.answer(given(alone[2], activity=None))
    store.answer(given(alone[3], activity=None, verdict="unsure"))
    store.answer(given(pair, "ann", "PEN"))
    store.answer(given(pair, "ben", "ABD"))
    return asked, tasks


def value(activity: object = "ROW", start: object = NINE_MS, end: object = NINE_MS + 4000) -> dict[str, Any]:
    return {"start": start, "end": end, "instant": False, "timeserieslabels": [activity]}


def studio(*values: object, subject: object = "s01", cancelled: bool = False) -> dict[str, Any]:
    """A task as Label Studio exports it, an annotation per value."""
    regions = [{"from_name": "label", "to_name": "ts", "type": "timeserieslabels", "value": one} for one in values]
    annotations = [{"id": 7, "result": [one], "was_cancelled": cancelled, "completed_by": 1} for one in regions]
    return {"id": 3, "data": {"subject": subject, "ts": {}}, "annotations": annotations, "predictions": []}


Write = Callable[[object], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: object) -> Path:
        path = tmp_path / "export.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


def test_tasks_go_out_with_the_models_guess_and_come_back_as_labels(asked: Project, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    done = write_tasks(asked, path)
    assert (done.tasks, done.files) == (6, (path, tmp_path / "tasks.xml"))
    tasks = json.loads(path.read_text())
    requests = asked.lake.label_requests.read()
    assert {task["data"]["subject"] for task in tasks} == {"s01", "s02"}
    channels = list(asked.settings.sensors.channels)
    for task in tasks:
        series = task["data"]["ts"]
        assert list(series) == ["time", *channels]
        assert series["time"] == sorted(series["time"])
        assert {len(column) for column in series.values()} == {len(series["time"])}
        (guess,) = task["predictions"][0]["result"]
        row = requests.filter(pl.col("start").dt.epoch("ms") == guess["value"]["start"]).row(0, named=True)
        assert guess["value"]["timeserieslabels"] == [row["activity"]]
        # Somebody accepts the guess in Label Studio.
        task["annotations"] = [{"id": 1, "result": [guess], "was_cancelled": False, "completed_by": 1}]
    path.write_text(json.dumps(tasks))
    found = import_labels(asked, path)
    assert (found.rows, found.new) == (6, 6)
    labels = asked.lake.labels.read()
    assert labels.join(requests, on=["subject", "start", "end", "activity"], how="semi").height == 6
    assert set(labels["review"]) == {"imported"}
    kept = next(asked.settings.path("labels").glob("*.json"))
    assert kept.read_bytes() == path.read_bytes()
    assert import_labels(asked, path).new == 0
    assert undo_batch(asked.lake, batches(asked.lake)["batch"][0]) == 6


def test_the_configuration_names_the_tags_labels_and_channels(asked: Project, tmp_path: Path) -> None:
    write_tasks(asked, tmp_path / "tasks.json")
    view = fromstring((tmp_path / "tasks.xml").read_text())  # noqa: S314  written above
    series, control = view.find("TimeSeries"), view.find("TimeSeriesLabels")
    assert series is not None
    assert control is not None
    assert control.get("toName") == series.get("name") == "ts"
    assert [channel.get("column") for channel in series] == list(asked.settings.sensors.channels)
    assert [label.get("value") for label in control] == [*asked.settings.activities.all, "unusable"]


def test_answers_survive_label_studio(answered: tuple[Project, list[Task]], tmp_path: Path) -> None:
    project, tasks = answered
    path = tmp_path / "answers.json"
    done = export_answers(project, path)
    assert (done.tasks, done.answers) == (5, 6)
    with pytest.raises(LabelError, match=r"task 5, annotations: .*one activity at a time.*PEN and ABD"):
        read_label_studio(path, project.settings)
    content = json.loads(path.read_text())
    notes = {
        note for task in content for one in task["annotations"] for r in one["result"] for note in r["meta"]["text"]
    }
    assert notes == {"labeller: ann", "labeller: ben"}
    undisputed = [task for task in content if len(task["annotations"]) == 1]
    path.write_text(json.dumps(undisputed))
    back = read_label_studio(path, project.settings)
    expected = {(tasks[0].start_us, tasks[0].end_us, "ROW"), (tasks[1].start_us - 1_500_250, tasks[1].end_us, "PEN")}
    times = [pl.col(name).dt.timestamp("us") for name in ("start", "end")]
    assert set(back.select(*times, "activity").rows()) == expected


def test_answers_survive_a_table(answered: tuple[Project, list[Task]], tmp_path: Path) -> None:
    project, tasks = answered
    path = tmp_path / "answers.csv"
    assert export_answers(project, path).answers == 6
    table = pl.read_csv(path)
    assert table["said"].to_list().count("unusable") == 1
    assert set(table["labeller"]) == {"ann", "ben"}
    assert table.filter(pl.col("review") == "rejected")["said"].sort().to_list() == ["ABD", "PEN"]
    back = read_labels(path, project.settings)
    times = [pl.col(name).dt.timestamp("us") for name in ("start", "end")]
    assert set(back.select(*times, "activity").rows()) == {
        (tasks[0].start_us, tasks[0].end_us, "ROW"),
        (tasks[1].start_us - 1_500_250, tasks[1].end_us, "PEN"),
    }
    assert import_labels(project, path).new == 2
    with pytest.raises(LabelError, match=r"ends with .csv or .json"):
        export_answers(project, tmp_path / "answers.txt")
    assert export_answers(project, tmp_path / "answers.txt", form="csv").answers == 6


def test_both_exports_of_label_studio_are_read(settings: Settings, write: Write) -> None:
    minimal = [{"id": 3, "subject": "s01", "ts": {}, "label": [value()], "annotator": 1, "annotation_id": 9}]
    full = [studio(value()), studio(value("PEN"), cancelled=True), studio(value("unusable")), studio()]
    expected = [("s01", dt.datetime(2024, 1, 18, 9, tzinfo=dt.UTC), "ROW")]
    for content in (minimal, full):
        found = read_label_studio(write(content), settings)
        assert found.select("subject", "start", "activity").rows() == expected


def test_two_people_who_agree_give_one_label(settings: Settings, write: Write) -> None:
    found = read_label_studio(write([studio(value(), value())]), settings)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no JSON"),
        ({"tasks": []}, "a list of tasks.*dict at the top"),
        ("[1]", "a list of tasks"),
        ([studio(value(), subject=None)], r"task 1, data.subject: .*whose movement"),
        ([studio(value()), studio(value("RUN"))], r"task 2, activity: .*one of PEN.*'RUN'"),
        ([studio(value("pen"))], r"'pen'.*PEN"),
        ([studio({**value(), "timeserieslabels": ["PEN", "ROW"]})], "one of the labels"),
        ([studio({"start": 1})], "one of the labels"),
        ([studio(None)], "one of the labels"),
        ([studio(value(start="9 o'clock"))], "task 1, start: .*milliseconds since 1970"),
        ([studio(value(start=12.5))], "milliseconds since 1970"),
        ([studio(value(start=True))], "milliseconds since 1970"),
        ([studio(value(end=NINE_MS))], "task 1, end: .*a time after the start"),
        ([studio(value("PEN"), value("ROW", NINE_MS + 1000))], r"one activity at a time.*PEN and ROW.*09:00:01"),
        ([{"id": 1, "data": {"subject": "s01"}, "annotations": [{"result": "none"}]}], "one of the labels"),
        ([studio(value("A")), studio(value()), studio(value("B"))], "1 more tasks are refused: 3"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: Settings, write: Write, content: object, said: str) -> None:
    with pytest.raises(LabelError, match=said) as caught:
        read_label_studio(write(content), settings)
    assert "No label was imported from the file." in str(caught.value)


def test_a_file_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="No such file"):
        read_label_studio(tmp_path / "none.json", settings)
