"""Feedback: the activity at each time, rows that are ignored or unknown, and the labels of windows."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from inbox_support import inbox_chunks

from har.dataset import Feedback, labels_from_feedback, load_windows, placements, recording_names, window_labels
from har.dataset._feedback import _last_cover
from har.jobs.ingest import ingest_files
from har.lake import Lake
from har.settings import Settings

DAY = dt.date(2024, 1, 1)
NINE = dt.datetime(2024, 1, 1, 9, tzinfo=dt.UTC)
NAMES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")


def add_feedback(
    lake: Lake, *rows: tuple[str, float | None, float | None, str], first: int = 0, review: str | None = "accepted"
) -> None:
    """Add feedback in the order of receipt: subject, start and end in seconds after nine, activity."""
    values = [
        {
            "date": DAY,
            "subject": subject,
            "start": None if start is None else NINE + dt.timedelta(seconds=start),
            "end": None if end is None else NINE + dt.timedelta(seconds=end),
            "activity": activity,
            "request_id": None,
            "feedback_id": f"f{first + number}",
            "received_at": NINE + dt.timedelta(hours=1, seconds=first + number),
            "review": review,
        }
        for number, (subject, start, end, activity) in enumerate(rows)
    ]
    lake.labels.add(pl.DataFrame(values, lake.labels.schema), ["feedback_id"])


def at(lake: Lake, subject: str, *seconds: float, labels: int = -1, **options: object) -> list[int]:
    feedback = Feedback(lake, NAMES, **options)
    times = pl.Series([NINE + dt.timedelta(seconds=second) for second in seconds], dtype=pl.Datetime("us", "UTC"))
    return feedback.over(pl.Series([subject] * len(seconds)), times, np.full(len(seconds), labels, np.int16)).tolist()


def test_an_interval_includes_its_start_and_excludes_its_end(lake: Lake) -> None:
    add_feedback(lake, ("s01", 10, 20, "ABD"))
    assert at(lake, "s01", 9.99, 10, 19.99, 20) == [-1, 1, 1, -1]
    assert at(lake, "s02", 15) == [-1]
    assert at(lake, "s01", 5, 15, labels=3) == [3, 1]


def test_the_last_received_feedback_applies(lake: Lake) -> None:
    add_feedback(lake, ("s01", 0, 30, "ABD"), ("s01", 10, 20, "ROW"), ("s01", 12, 14, "PEN"), ("s01", 0, 5, "IR"))
    assert at(lake, "s01", 1, 7, 11, 13, 15, 25) == [3, 1, 6, 0, 6, 1]


def test_feedback_at_an_older_version(lake: Lake) -> None:
    add_feedback(lake, ("s01", 0, 30, "ABD"))
    then = lake.labels.version()
    add_feedback(lake, ("s01", 0, 30, "ROW"), first=10)
    assert at(lake, "s01", 1) == [6]
    assert at(lake, "s01", 1, version=then) == [1]
    assert at(lake, "s01", 1, version=-1) == [-1]


def test_feedback_without_an_interval_is_ignored_and_unknown_activities_are_counted(lake: Lake) -> None:
    add_feedback(
        lake,
        ("s01", 0, 30, "ABD"),
        ("s01", None, None, "ROW"),
        ("s01", 20, 20, "ROW"),
        ("s01", 0, 30, "JUMP"),
        ("s01", 5, 6, "JUMP"),
        ("s02", 0, 30, "CRAWL"),
    )
    feedback = Feedback(lake, NAMES)
    assert feedback.unknown == {"CRAWL": 1, "JUMP": 2}
    assert feedback.intervals == 1
    assert at(lake, "s01", 5.5) == [1]


def test_without_feedback_the_labels_are_returned_unchanged(lake: Lake) -> None:
    labels = np.array([1, 2], np.int16)
    times = pl.Series([NINE, NINE])
    assert Feedback(lake, NAMES).over(pl.Series(["s01", "s02"]), times, labels) is labels


@hypothesis_settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(1, 40)), min_size=1, max_size=30))
def test_last_cover_equals_a_plain_loop(intervals: list[tuple[int, int]]) -> None:
    first = np.array([start for start, _ in intervals])
    stop = np.array([min(start + length, 40) for start, length in intervals])
    expected = np.full(40, -1)
    for number, (start, end) in enumerate(zip(first, stop, strict=True)):
        expected[start:end] = number
    assert _last_cover(first, stop, 40).tolist() == expected.tolist()


@pytest.fixture
def recorded(put, lake: Lake, settings: Settings) -> Lake:
    """s01: 30 s of PEN and 30 s without a label on one day; s02: 30 s of ROW on the next."""
    put("2024-01-01", "s01", "a", "PEN")
    put("2024-01-01", "s01", "b", seed=1)
    put("2024-01-02", "s02", "a", "ROW")
    for chunk in inbox_chunks(settings)[0]:
        ingest_files(lake, settings, chunk)
    return lake


def names_of(windows: object) -> list[str]:
    return [(*NAMES, "-")[label] for label in windows.labels]


def test_feedback_changes_the_labels_of_windows(recorded: Lake, settings: Settings) -> None:
    before = load_windows(recorded, settings)
    assert names_of(before) == ["PEN"] * 14 + ["-"] * 14 + ["ROW"] * 14
    assert np.unique(before.recordings).tolist() == [0, 1, 2]
    assert before.dates.astype(str).tolist() == ["2024-01-01"] * 28 + ["2024-01-02"] * 14
    # Both recordings of s01 begin at nine: feedback on a time applies to both.
    add_feedback(recorded, ("s01", 0, 10, "ABD"), ("s01", 2, 3, "JUMP"))
    after = load_windows(recorded, settings)
    # Windows of 4 s every 2 s: the fifth begins at 8 s and is half of each, below the purity of 60 %.
    assert names_of(after) == [
        *["ABD"] * 4, "-", *["PEN"] * 9, *["ABD"] * 4, *["-"] * 10, *["ROW"] * 14
    ]  # fmt: skip
    assert names_of(load_windows(recorded, settings, labels_version=-1)) == names_of(before)


def test_window_labels_equal_those_of_load_windows(recorded: Lake, settings: Settings) -> None:
    add_feedback(recorded, ("s01", 0, 10, "ABD"), ("s02", -100, -50, "ROW"))
    for version in (None, -1):
        windows = load_windows(recorded, settings, labels_version=version)
        labels = window_labels(recorded, settings, labels_version=version)
        order = recorded.samples.read().sort("date", "subject", "session", "time")
        expected = order.select("date", "subject", "session", pl.col("time").alias("start"))[windows.starts]
        expected = expected.with_columns(pl.Series("activity", names_of(windows))).filter(pl.col("activity") != "-")
        assert labels.sort("date", "subject", "session", "start").rows() == expected.rows()
    only = window_labels(recorded, settings, partitions=[(dt.date(2024, 1, 2), "s02")])
    assert only["activity"].to_list() == ["ROW"] * 14
    assert len(window_labels(recorded, settings, partitions=[])) == 0


def test_online_windows_are_labelled_by_feedback_alone(lake: Lake, settings: Settings) -> None:
    add_feedback(lake, ("s01", 0, 10, "ABD"), ("s02", 0, 10, "ROW"))
    asked = pl.DataFrame(
        {
            "date": DAY,
            "subject": ["s01", "s01", "s01", "s03"],
            "session": "online",
            "start": [NINE + dt.timedelta(seconds=second) for second in (0, 7, 9, 0)],
        }
    )
    labelled = labels_from_feedback(asked, lake, settings)
    # From 7 s three of four seconds are labelled, from 9 s only one.
    assert labelled["start"].to_list() == [NINE, NINE + dt.timedelta(seconds=7)]
    assert labelled["activity"].to_list() == ["ABD", "ABD"]


def test_placements_of_windows(recorded: Lake, settings: Settings) -> None:
    rows = recorded.recordings.read()
    worn = rows.with_columns(pl.Series("placement", ["left", "right", None]).alias("placement"))
    recorded.recordings.replace(worn, worn.select("date", "subject").unique().rows())
    by_session = dict(worn.select(pl.concat_str("date", "subject", "session"), "placement").iter_rows())
    windows = load_windows(recorded, settings)
    found = placements(recorded, windows)
    expected = [by_session["2024-01-01s01a"], by_session["2024-01-01s01b"], by_session["2024-01-02s02a"]]
    assert found.tolist() == [expected[number] or "" for number in windows.recordings]
    assert placements(recorded, windows.for_subjects(("s02",))).tolist() == [expected[2] or ""] * 14
    assert recording_names(recorded).tolist() == ["2024-01-01 s01 a", "2024-01-01 s01 b", "2024-01-02 s02 a"]
