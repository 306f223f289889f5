"""From a label request to the page and back into the lake: each answer once, what was taken back gone."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from label_support import given
from loop_support import fill, score, write_mean_model

from har.dataset import window_labels
from har.errors import LabelError, StorageError
from har.inference import Classifier
from har.jobs.collect import collect
from har.jobs.label import add_labels
from har.jobs.label_page import prepare_tasks
from har.jobs.review import review_feedback
from har.labelling import Answer, Store, Task, store_path
from har.lake import Lake
from har.monitoring.decisions import request_labels
from har.project import Project
from har.registry import Version
from har.schema import LABEL_REQUESTS
from har.settings import Settings

DAY = dt.date(2024, 1, 18)
ALONE = "ann at 127.0.0.1"


@pytest.fixture
def asked(lake: Lake, settings: Settings) -> Project:
    """A day of s01 and s02 without labels, scored by a model that is unsure, and the windows asked for."""
    fill(lake, settings, [DAY], ["s01", "s02"], labelled=False)
    score(lake, settings, write_mean_model(settings.root / "model.onnx", settings, gain=0.2), 1)
    assert len(request_labels(lake, settings, (DAY, DAY), "d1", limit=6)) == 6
    return Project(settings)


def store_of(project: Project) -> Store:
    return Store(store_path(project.settings.path("journal")))


def answer(project: Project, one: Task, labeller: str = "ann", activity: str | None = "ROW", **how: str) -> Answer:
    return store_of(project).answer(given(one, labeller, activity, **how))


def rows(project: Project) -> list[tuple[object, ...]]:
    """Who said what, and what it counts for."""
    table = project.lake.labels.read().sort("received_at")
    who = table["source"].str.split(" at ").list.first()
    return list(zip(who, table["activity"], table["review"], table["reviewed_by"], strict=True))


def test_the_page_gets_the_windows_in_their_order_with_the_signal_around(asked: Project) -> None:
    prepared = prepare_tasks(asked, shared=0)
    assert (prepared.tasks, prepared.new, prepared.shared, prepared.without_samples) == (6, 6, 0, 0)
    requests = asked.lake.label_requests.read().sort("rank")
    tasks = store_of(asked).tasks()
    assert [one.rank for one in tasks] == requests["rank"].to_list()
    assert [one.start_us for one in tasks] == requests["start"].to_physical().to_list()
    assert [one.reason for one in tasks] == requests["reason"].to_list()
    for one in tasks:
        shown = json.loads(one.signal)
        assert [channel["name"] for channel in shown["channels"]] == list(asked.settings.sensors.channels)
        assert shown["channels"][0]["unit"] == asked.settings.sensors.units[0]
        for channel in shown["channels"]:
            assert len(channel["t"]) == len(channel["v"]) <= 600
            assert one.from_us <= one.start_us + 1000 * channel["t"][0]
            assert one.start_us + 1000 * channel["t"][-1] <= one.to_us
        detail = shown["detail"]["t"]
        assert detail == sorted(detail)
        assert -2000 <= detail[0] <= 0
        # The window itself is shown as it was measured.
        inside = [at for at in detail if 0 <= at < 4000]
        assert len(inside) == asked.settings.length
    assert prepare_tasks(asked, shared=1).new == 0
    assert prepare_tasks(asked, shared=1).shared == 6
    with pytest.raises(LabelError, match="a share from 0 to 1"):
        prepare_tasks(asked, shared=1.5)


def test_a_gap_in_the_signal_is_no_line(asked: Project) -> None:
    lake = asked.lake
    samples = lake.samples.read()
    hole = (pl.col("time").dt.second() >= 20) & (pl.col("time").dt.second() < 23)
    lake.samples.replace(samples.filter(~hole), samples.select("date", "subject").unique().rows())
    prepare_tasks(asked)
    shown = [json.loads(one.signal)["channels"][0] for one in store_of(asked).tasks()]
    assert {channel["v"].count(None) for channel in shown} == {1}


def test_the_models_two_best_guesses_come_with_it(asked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = asked.settings.root / "model.onnx"
    names = asked.settings.activities.all
    classifier = Classifier(path, threads=1)
    version = Version.__new__(Version)
    object.__setattr__(version, "number", 4)
    monkeypatch.setattr(Project, "champion", version)
    monkeypatch.setattr(Project, "classifier", lambda _, number: classifier if number == 4 else None)
    prepare_tasks(asked)
    samples = asked.lake.samples.read().sort("time")
    for one in store_of(asked).tasks():
        window = samples.filter(
            (pl.col("subject") == one.subject) & (pl.col("session") == one.session),
            pl.col("time").dt.timestamp("us").is_between(one.start_us, one.end_us, closed="left"),
        )
        values = window.select(asked.settings.sensors.channels).to_numpy().astype(np.float32)[None]
        expected = classifier.predict(values).probabilities[0]
        best = np.argsort(-expected)[:2]
        assert [name for name, _ in one.guesses] == [names[index] for index in best]
        assert [sure for _, sure in one.guesses] == pytest.approx(expected[best].tolist(), abs=1e-4)
        assert one.model_version == 4


def test_windows_that_nobody_can_see_or_that_have_a_label_are_left_out(asked: Project) -> None:
    lake = asked.lake
    first, second = lake.label_requests.read().sort("rank").head(2).iter_rows(named=True)
    gone = (
        lake.label_requests.read()
        .filter(pl.col("rank") == 1)
        .with_columns(pl.lit("online").alias("session"), pl.lit("r1").alias("request_id"))
    )
    others = lake.label_requests.read().filter(pl.col("rank") > 1)
    table = pl.concat([gone, others]).select(LABEL_REQUESTS.names())
    lake.label_requests.replace(table, table.select("date", "subject").unique().rows())
    add_labels(lake, pl.DataFrame([{**{k: second[k] for k in ("subject", "start", "end")}, "activity": "ROW"}]))
    prepared = prepare_tasks(asked)
    assert (prepared.tasks, prepared.labelled, prepared.without_samples) == (4, 1, 1)
    assert first["session"] != "online"


def test_an_answer_with_a_token_is_a_persons_word_once(asked: Project) -> None:
    prepare_tasks(asked, shared=0)
    one = store_of(asked).tasks()[0]
    stored = answer(asked, one)
    report = collect(asked)
    assert (report.answers, report.reviewed) == (1, 0)
    assert rows(asked) == [("ann", "ROW", "accepted", "/label: ann")]
    (row,) = asked.lake.labels.read().iter_rows(named=True)
    assert row["feedback_id"] == f"page-{stored.answer}"
    assert row["source"].endswith(", token ann")
    labelled = window_labels(asked.lake, asked.settings)
    assert labelled.select("subject", pl.col("start").dt.timestamp("us"), "activity").rows() == [
        (one.subject, one.start_us, "ROW")
    ]
    version = asked.lake.labels.version()
    again = collect(asked)
    assert (again.answers, again.reviewed) == (0, 0)
    assert asked.lake.labels.version() == version
    # It is asked for no more, though the request is still the newest; and it stays on the page as done.
    assert prepare_tasks(asked, shared=0).labelled == 0
    assert store_of(asked).progress("ben").done == 1


def test_without_a_token_it_is_a_hint_until_somebody_accepts_it(asked: Project) -> None:
    prepare_tasks(asked, shared=0)
    one = store_of(asked).tasks()[0]
    stored = answer(asked, one, source=ALONE)
    collect(asked)
    assert rows(asked) == [("ann", "ROW", None, None)]
    assert window_labels(asked.lake, asked.settings, unreviewed_of=()).is_empty()
    review_feedback(asked.lake, f"page-{stored.answer}", "accepted", who="eva")
    assert len(window_labels(asked.lake, asked.settings, unreviewed_of=())) == 1
    store_of(asked).undo("ann", stored.answer, ALONE)
    assert collect(asked).reviewed == 1
    assert rows(asked) == [("ann", "ROW", "rejected", "/label: taken back by ann")]


def test_what_is_taken_back_counts_for_nothing_before_and_after(asked: Project) -> None:
    prepare_tasks(asked, shared=0)
    early, late = store_of(asked).tasks()[:2]
    for one in (early, late):
        answer(asked, one)
    source = given(early).source
    store_of(asked).undo("ann", given(early).answer, source)
    assert collect(asked).answers == 1  # the other one never was a label
    store_of(asked).undo("ann", given(late).answer, source)
    report = collect(asked)
    assert (report.answers, report.reviewed) == (0, 1)
    assert [row[2] for row in rows(asked)] == ["rejected"]
    assert window_labels(asked.lake, asked.settings).is_empty()
    answer(asked, late, activity="PEN", answer="ann-thinks-again")
    assert collect(asked).answers == 1
    assert window_labels(asked.lake, asked.settings)["activity"].to_list() == ["PEN"]
    assert collect(asked).answers == 0


def test_a_dispute_trains_nothing_until_most_agree(asked: Project) -> None:
    prepare_tasks(asked, shared=1)
    one = store_of(asked).tasks()[0]
    answer(asked, one, "ann", "ROW")
    collect(asked)
    assert len(window_labels(asked.lake, asked.settings)) == 1
    answer(asked, one, "ben", "PEN")
    assert collect(asked).reviewed == 1
    assert [row[2:] for row in rows(asked)] == [("rejected", "/label: 2 people disagree")] * 2
    assert window_labels(asked.lake, asked.settings).is_empty()
    answer(asked, one, "cem", "PEN")
    collect(asked)
    assert rows(asked) == [
        ("ann", "ROW", "rejected", "/label: most of 3 people say PEN"),
        ("ben", "PEN", "accepted", "/label: ben"),
        ("cem", "PEN", "accepted", "/label: cem"),
    ]
    assert window_labels(asked.lake, asked.settings)["activity"].to_list() == ["PEN"]


def test_a_hint_puts_no_persons_word_in_doubt(asked: Project) -> None:
    prepare_tasks(asked, shared=1)
    one = store_of(asked).tasks()[0]
    answer(asked, one, "ann", "ROW")
    answer(asked, one, "ben", "PEN", source="ben at 127.0.0.1")
    collect(asked)
    assert [row[:3] for row in rows(asked)] == [("ann", "ROW", "accepted"), ("ben", "PEN", "rejected")]


def test_a_persons_rejection_stays(asked: Project) -> None:
    prepare_tasks(asked, shared=1)
    one = store_of(asked).tasks()[0]
    stored = answer(asked, one, "ann")
    collect(asked)
    review_feedback(asked.lake, f"page-{stored.answer}", "rejected", who="eva")
    answer(asked, one, "ben", "ROW")
    collect(asked)
    assert [row[2:] for row in rows(asked)] == [("rejected", "eva"), ("accepted", "/label: ben")]


def test_unusable_and_unsure_make_no_label(asked: Project) -> None:
    prepare_tasks(asked, shared=0)
    for one, verdict in zip(store_of(asked).tasks(), ("unusable", "unsure"), strict=False):
        answer(asked, one, activity=None, verdict=verdict)
    assert collect(asked).answers == 0
    assert asked.lake.labels.version() == -1
    assert store_of(asked).uncollected() == []


def test_a_run_that_ended_before_it_took_note_adds_nothing_twice(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_tasks(asked, shared=0)
    for one in store_of(asked).tasks()[:3]:
        answer(asked, one)

    def killed(*_: object) -> None:
        raise StorageError(where="here", expected="a disk", got="none", remedy="Again.")

    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(Store, "mark_collected", killed)
        collect(asked)
    assert len(rows(asked)) == 3
    version = asked.lake.labels.version()
    assert collect(asked).answers == 0
    assert len(rows(asked)) == 3
    assert asked.lake.labels.version() == version


def test_the_answers_are_no_lines_of_the_log(asked: Project) -> None:
    prepare_tasks(asked)
    folder: Path = asked.settings.path("journal")
    assert [path.name for path in folder.iterdir()] == ["label-page.db"]
    collect(asked)
    assert store_of(asked).progress("ann").left == 6
