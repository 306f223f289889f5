"""Labels from a CSV: imported all or none, and once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from har.errors import LabelError
from har.jobs.label import add_labels, read_labels, requested_labels
from har.lake import Lake
from har.settings import Settings

HEADER = "subject,start,end,activity\n"
GOOD = "s01,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,PEN\n"


@pytest.fixture
def lake(tmp_path: Path, settings: Settings) -> Lake:
    return Lake(tmp_path / "lake", settings.sensors.channels)


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


def test_labels_are_imported_once(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    path = table(tmp_path, HEADER + GOOD + "s02,2024-01-18T10:00:00+02:00,2024-01-18T10:00:30+02:00, ROW \n")
    labels = read_labels(path, settings)
    assert labels["activity"].to_list() == ["PEN", "ROW"]
    assert labels["start"].to_list() == [dt.datetime(2024, 1, 18, 8, tzinfo=dt.UTC)] * 2
    assert add_labels(lake, labels) == 2
    assert add_labels(lake, labels) == 0
    rows = lake.labels.read()
    assert set(rows["subject"]) == {"s01", "s02"}
    assert rows["date"].unique().to_list() == [dt.date(2024, 1, 18)]


def test_a_row_without_an_activity_is_skipped(tmp_path: Path, settings: Settings) -> None:
    path = table(tmp_path, HEADER + GOOD + "s02,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,\n")
    assert len(read_labels(path, settings)) == 1


def test_times_without_an_offset_are_in_the_projects_time_zone(tmp_path: Path, settings: Settings) -> None:
    vienna = settings.model_copy(update={"project": settings.project.model_copy(update={"timezone": "Europe/Vienna"})})
    path = table(tmp_path, HEADER + "s01,2024-07-18T08:00:00,2024-07-18T08:00:30,PEN\n")
    assert read_labels(path, vienna)["start"].to_list() == [dt.datetime(2024, 7, 18, 6, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subject,start,activity\ns01,2024-01-18T08:00:00Z,PEN\n", "no end"),
        (
            HEADER + GOOD + "s01,yesterday,2024-01-18T08:00:30Z,PEN\n",
            "line 3, start: .* ISO 8601.*'yesterday'",
        ),
        (
            HEADER + "s01,2024-01-18T08:00:30Z,2024-01-18T08:00:00Z,PEN\n",
            "line 2: end .*:00Z is not after .*:30Z",
        ),
        (HEADER + GOOD + GOOD + "s01,2024-01-18T08:00:00Z,2024-01-18T08:00:30Z,PENN\n", "line 4.*'PENN'"),
        ("", "CSV with a header"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(tmp_path: Path, settings: Settings, text: str, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        read_labels(table(tmp_path, text), settings)


def test_requested_labels_are_sorted_and_can_be_filled_in(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    assert requested_labels(lake).is_empty()
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
    requested = requested_labels(lake)
    assert requested["subject"].to_list() == ["s01", "s02"]
    filled_in = requested.with_columns(pl.lit("ROW").alias("activity"))
    path = tmp_path / "asked.csv"
    filled_in.write_csv(path)
    assert read_labels(path, settings).drop("subject").unique().rows() == [
        (start, start + dt.timedelta(seconds=4), "ROW")
    ]
