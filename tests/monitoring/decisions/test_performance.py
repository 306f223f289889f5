"""Accuracy in service: only where labels came, only for subjects the champion does not know, with an interval."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from loop_support import fill, score, write_mean_model

from har.lake import Lake
from har.monitoring.decisions import measure_performance
from har.monitoring.drift import Performance
from har.settings import Settings

DAYS = [dt.date(2024, 1, day) for day in range(1, 5)]
EACH = 2 * 29
SUBJECTS = ["s01", "s02", "s03", "s04"]


def of(lake: Lake, settings: Settings, **values: Any) -> Performance | None:
    known: dict[str, Any] = {"date": DAYS[-1], "model_version": 1, "expected": 0.95, "seen": {"s04"}}
    return measure_performance(lake, settings, **{**known, **values})


@pytest.fixture
def right(lake: Lake, settings: Settings, tmp_path: Path) -> Lake:
    """Four labelled days of four subjects, all predicted rightly by version 1."""
    fill(lake, settings, DAYS, SUBJECTS)
    score(lake, settings, write_mean_model(tmp_path / "right" / "model.onnx", settings), 1)
    return lake


def test_the_days_and_subjects_that_count(right: Lake, settings: Settings) -> None:
    found = of(right, settings)
    assert found == Performance(
        3 * 3 * EACH, 3, 1.0, 0.95, 1.0, dropped=False, first=DAYS[1], last=DAYS[3], of_day=3 * EACH
    )
    assert of(right, settings, days=1).windows == 3 * EACH
    assert of(right, settings, date=DAYS[1]).windows == 2 * 3 * EACH
    assert of(right, settings, seen=set()).windows == 3 * 4 * EACH
    assert of(right, settings, seen=set(SUBJECTS)) is None
    assert of(right, settings, model_version=2) is None
    assert of(right, settings, date=DAYS[-1] + dt.timedelta(days=30)) is None


def test_labels_of_earlier_days_carry_their_dates(right: Lake, settings: Settings) -> None:
    fill(right, settings, [DAYS[-1]], SUBJECTS, labelled=False)
    found = of(right, settings)
    assert (found.windows, found.of_day, found.when) == (2 * 3 * EACH, 0, " of 2024-01-02 to 2024-01-03")
    assert of(right, settings, days=2).when == " of 2024-01-03"


def test_wrong_answers_are_a_drop(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    fill(lake, settings, DAYS, SUBJECTS)
    score(lake, settings, write_mean_model(tmp_path / "wrong" / "model.onnx", settings, gain=-4), 1)
    found = of(lake, settings)
    assert (found.accuracy, found.high, found.dropped) == (0.0, 0.0, True)


def test_a_drop_must_exceed_what_subjects_differ_by(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    """Two of three subjects are answered rightly: 67 % on average, and the next one may be like them."""
    fill(lake, settings, DAYS, SUBJECTS)
    score(lake, settings, write_mean_model(tmp_path / "right" / "model.onnx", settings), 1)
    rows = lake.predictions.read()
    wrong = rows.with_columns(
        pl.when(pl.col("subject") == "s01").then(pl.lit("ROW")).otherwise("activity").alias("activity")
    )
    lake.predictions.replace(wrong, rows.select("date", "subject").unique().rows())
    found = of(lake, settings)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.high == 1.0
    assert not found.dropped
    alone = of(lake, settings, seen={"s02", "s03", "s04"})
    assert (alone.subjects, alone.accuracy, alone.high, alone.dropped) == (1, 0.0, 0.0, True)


def test_without_labels_there_is_nothing_to_say(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    fill(lake, settings, DAYS, SUBJECTS, labelled=False)
    score(lake, settings, write_mean_model(tmp_path / "right" / "model.onnx", settings), 1)
    assert of(lake, settings) is None
    nine = dt.datetime.combine(DAYS[-1], dt.time(9), dt.UTC)
    rows = [
        {
            "date": DAYS[-1],
            "subject": subject,
            "start": nine,
            "end": nine + dt.timedelta(minutes=1),
            "activity": "PEN" if subject != "s03" else "ROW",
            "feedback_id": subject,
            "received_at": nine,
            "review": "accepted",
        }
        for subject in SUBJECTS
    ]
    unreviewed = [{**row, "review": None, "feedback_id": f"u-{row['subject']}"} for row in rows]
    lake.labels.add(pl.DataFrame(unreviewed, lake.labels.schema), ["feedback_id"])
    assert of(lake, settings) is None
    lake.labels.add(pl.DataFrame(rows[:1], lake.labels.schema), ["feedback_id"])
    assert of(lake, settings) is None  # 29 windows of one recording
    lake.labels.add(pl.DataFrame(rows, lake.labels.schema), ["feedback_id"])
    found = of(lake, settings)
    assert (found.windows, found.subjects) == (3 * EACH // 2, 3)
    assert found.accuracy == pytest.approx(2 / 3)


def test_windows_of_the_online_service_count_where_feedback_names_them(lake: Lake, settings: Settings) -> None:
    nine = dt.datetime.combine(DAYS[-1], dt.time(9), dt.UTC)
    rows = [
        {
            "date": DAYS[-1],
            "subject": f"s0{number % 3 + 1}",
            "session": "online",
            "start": nine + dt.timedelta(seconds=4 * number),
            "end": nine + dt.timedelta(seconds=4 * number + 4),
            "activity": "PEN" if number % 2 else "ABD",
            "confidence": 0.9,
            "abstained": False,
            "model_version": 1,
            "request_id": f"r{number}",
        }
        for number in range(60)
    ]
    lake.predictions.add(pl.DataFrame(rows, lake.predictions.schema), ["request_id", "start"])
    told = [
        {
            "date": DAYS[-1],
            "subject": subject,
            "start": nine,
            "end": nine + dt.timedelta(minutes=3),
            "activity": "PEN",
            "feedback_id": subject,
            "received_at": nine,
            "review": "accepted",
        }
        for subject in ("s01", "s02", "s03")
    ]
    lake.labels.add(pl.DataFrame(told, lake.labels.schema), ["feedback_id"])
    found = of(lake, settings)
    assert (found.windows, found.subjects) == (45, 3)
    assert found.accuracy == pytest.approx(22 / 45)
