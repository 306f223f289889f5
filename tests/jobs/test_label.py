"""Labels that come as a table: taken whole or not at all, and once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from har.errors import LabelError
from har.jobs.label import add_labels, open_questions, read_answers
from har.lake import Lake
from har.settings import Settings

HEADER = "subject,start,end,activity\n"
GOOD = "s01,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,PEN\n"


@pytest.fixture
def lake(tmp_path: Path, settings: Settings) -> Lake:
    return Lake(tmp_path / "lake", settings.sensors.channels)


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "answers.csv"
    path.write_text(text)
    return path


def test_answers_become_labels_once(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    path = table(tmp_path, HEADER + GOOD + "s02,2024-01-18T10:00:00+02:00,2024-01-18T10:00:30+02:00, ROW \n")
    answers = read_answers(path, settings)
    assert answers["activity"].to_list() == ["PEN", "ROW"]
    assert answers["start"].to_list() == [dt.datetime(2024, 1, 18, 8, tzinfo=dt.UTC)] * 2
    assert add_labels(lake, answers) == 2
    assert add_labels(lake, answers) == 0
    rows = lake.labels.read()
    assert set(rows["subject"]) == {"s01", "s02"}
    assert rows["date"].unique().to_list() == [dt.date(2024, 1, 18)]


def test_a_question_without_an_answer_is_left_out(tmp_path: Path, settings: Settings) -> None:
    path = table(tmp_path, HEADER + GOOD + "s02,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,\n")
    assert len(read_answers(path, settings)) == 1


def test_stamps_without_an_offset_are_in_the_projects_zone(tmp_path: Path, settings: Settings) -> None:
    vienna = settings.model_copy(update={"project": settings.project.model_copy(update={"timezone": "Europe/Vienna"})})
    path = table(tmp_path, HEADER + "s01,2024-07-18T08:00:00,2024-07-18T08:00:30,PEN\n")
    assert read_answers(path, vienna)["start"].to_list() == [dt.datetime(2024, 7, 18, 6, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subject,start,activity\ns01,2024-01-18T08:00:00Z,PEN\n", "no end"),
        (HEADER + GOOD + "s01,yesterday,2024-01-18T08:00:30Z,PEN\n", "line 3"),
        (HEADER + "s01,2024-01-18T08:00:30Z,2024-01-18T08:00:00Z,PEN\n", "end after the start"),
        (HEADER + GOOD + GOOD + "s01,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,PENN\n", "line 4.*'PENN'"),
        ("", "CSV with a header"),
    ],
)
def test_a_bad_line_is_named_and_nothing_taken(tmp_path: Path, settings: Settings, text: str, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        read_answers(table(tmp_path, text), settings)


def test_questions_come_best_first_and_can_be_answered(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    assert open_questions(lake).is_empty()
    start = dt.datetime(2024, 1, 18, 8, tzinfo=dt.UTC)
    rows = [
        {
            "date": start.date(),
            "subject": f"s0{rank}",
            "session": "left",
            "start": start,
            "end": start + dt.timedelta(seconds=4),
            "request_id": None,
            "rank": rank,
            "activity": "PEN",
            "confidence": 0.3,
            "reason": "unsure",
            "decision_id": "d",
            "asked_at": start,
        }
        for rank in (2, 1)
    ]
    lake.label_requests.add(pl.DataFrame(rows, lake.label_requests.schema), ["decision_id", "rank"])
    questions = open_questions(lake)
    assert questions["subject"].to_list() == ["s01", "s02"]
    answered = questions.with_columns(pl.lit("ROW").alias("activity"))
    path = tmp_path / "asked.csv"
    answered.write_csv(path)
    assert read_answers(path, settings).drop("subject").unique().rows() == [
        (start, start + dt.timedelta(seconds=4), "ROW")
    ]
