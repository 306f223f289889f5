"""The lake below folders, and with subjects, whose names are escaped in addresses."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from tests_support import HAR_TOML, write_recording

from har.errors import LakeError
from har.jobs.ingest import ingest
from har.lake import Lake, Table
from har.project import open_project

DAY = dt.date(2024, 1, 1)
SCHEMA = pl.Schema({"date": pl.Date, "subject": pl.String, "value": pl.Int64, "more": pl.Int64})
SUBJECTS = [
    "s1",
    "anna maria",
    "Jürgen",
    "王芳",
    "a%b",
    "%41",
    "a#b",
    "a?b",
    "a=b",
    "o'x",
    'q"x',
    "[a]",
    "a+b",
    "🏃",
    "..",
]
PLACES = [
    "My Projects",
    "Übungen",
    "a#b",
    "100%",
    "what?",
    "a+b",
    "🏃",
    "a=b",
    "date=2024-01-01",
    "{a}",
    "a*",
    "é-e\u0301",
]


def rows(*values: int) -> pl.DataFrame:
    every = [(DAY, subject, value, 0) for subject in SUBJECTS for value in values]
    return pl.DataFrame(every, SCHEMA, orient="row")


@pytest.mark.parametrize("place", PLACES)
def test_every_operation_works_there(tmp_path: Path, place: str) -> None:
    table = Table(tmp_path / place / "lake" / "things", SCHEMA)
    partitions = [(DAY, subject) for subject in SUBJECTS]
    table.replace(rows(1), partitions)
    table.replace(rows(1, 2), partitions)
    assert table.add(rows(2, 3), ["value"]) == len(SUBJECTS)
    assert table.amend(rows(2).with_columns(more=pl.lit(9, pl.Int64)), ["value"]) == len(SUBJECTS)
    expected = rows(1, 2, 3).with_columns(more=pl.when(pl.col("value") == 2).then(9).otherwise(0).cast(pl.Int64))
    assert table.read().sort("subject", "value").equals(expected.sort("subject", "value"))
    assert table.partitions() == sorted(partitions)
    for (_, subject), frame in table.each(None, partitions, ["value"]):
        assert sorted(frame["value"]) == [1, 2, 3], subject
    for subject in SUBJECTS:
        chosen = table.scan().filter((pl.col("subject") == subject) & (pl.col("date") == DAY))
        assert sorted(table.collect(chosen)["value"]) == [1, 2, 3]
    table.tend(lambda opened: len(opened.vacuum(dry_run=False)))
    assert table.damaged(content=True) == {}
    assert table.counts() == dict.fromkeys(partitions, 3)
    assert {path.name for path in tmp_path.iterdir()} == {place}


@pytest.mark.parametrize("place", ["a[b]", "a|b", "a^b", "a\\b", "a%20b", "tab\there"])
def test_a_place_that_delta_cannot_address_is_refused_before_anything_is_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(LakeError, match=r"which delta-rs cannot open, .*set paths\.lake in har\.toml to a folder"):
        Lake(tmp_path / place / "lake", ("accel_x",))
    assert list(tmp_path.iterdir()) == []


def test_recordings_below_a_folder_that_looks_like_a_pattern(tmp_path: Path) -> None:
    root = tmp_path / "[2024] a*? {b}"
    inbox = root / "data" / "inbox"
    text = write_recording(inbox, "2024-01-01", "s01", "a", "PEN", seconds=10)
    frame = pl.read_csv(text, try_parse_dates=True, glob=False)
    frame.write_parquet(inbox / "2024-01-01" / "s02_a.parquet")
    (root / "har.toml").write_text(HAR_TOML + f'\n[paths]\nlake = "{tmp_path / "lake"}"\n')
    project = open_project(root)
    report = ingest(project)
    assert [str(one.error) for one in report.quarantined] == []
    assert report.samples == 1000
    assert project.lake.samples.counts() == {(DAY, "s01"): 500, (DAY, "s02"): 500}
