"""A file that is longer than its day, and stretches of time that several files have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from inbox_support import inbox_chunks
from tests_support import HAR_TOML

from har.jobs.ingest import IngestReport, ingest_files
from har.jobs.score import pending
from har.lake import Lake
from har.recordings import Part
from har.settings import Settings, load_settings

CHANNELS = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]
NIGHT = dt.datetime(2024, 5, 6, 23, 59, 50, tzinfo=dt.UTC)
NINE = dt.datetime(2024, 5, 6, 9, tzinfo=dt.UTC)
Export = Callable[..., Path]


def ingest(lake: Lake, settings: Settings, *, replace: bool = False) -> IngestReport:
    report = IngestReport()
    for chunk in inbox_chunks(settings)[0]:
        report.add(ingest_files(lake, settings, chunk, replace=replace))
    return report


def signal(begin: dt.datetime, seconds: float, *, seed: int = 0, rate_hz: float = 50) -> pl.DataFrame:
    """A smooth movement that depends on the time alone, so that two rates sample the same."""
    begin_us = int(begin.timestamp() * 1e6)
    times = begin_us + (1e6 / rate_hz * np.arange(int(seconds * rate_hz))).astype(np.int64)
    rng = np.random.default_rng(seed)
    turns = np.outer(times % 3_600_000_000 / 1e6, rng.uniform(2, 8, 6)) + rng.uniform(0, 6, 6)
    frame = pl.DataFrame(0.4 * np.sin(turns) + [0, 0, 1, 0, 0, 0], CHANNELS)
    return frame.insert_column(0, pl.Series("time", times).cast(pl.Datetime("us", "UTC")))


@pytest.fixture
def export(settings: Settings) -> Export:
    """Write samples as a file of the inbox."""

    def write(frame: pl.DataFrame, name: str, date: str = "2024-05-06", **columns: str) -> Path:
        path = settings.path("inbox") / date / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.with_columns(pl.lit(value).alias(column) for column, value in columns.items()).write_parquet(path)
        return path

    return write


def counts(lake: Lake) -> dict[tuple[str, str], int]:
    """Rows of the sample table by date and session; `recordings` has the same numbers."""
    key = ["date", "subject", "session"]
    found = lake.samples.read().group_by(key).len("samples").sort(key).cast({"samples": pl.Int64})
    recordings = lake.recordings.read().select(*key, "samples").sort(key)
    assert recordings.equals(found)
    return {(str(date), session): number for date, _, session, number in found.iter_rows()}


def test_a_file_over_midnight_lands_on_both_dates(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NIGHT, 30), "s01_night")
    report = ingest(lake, settings)
    assert report.landed == ["2024-05-06/s01_night.parquet"]
    assert "cut at midnight (UTC) into 2 dates, 2024-05-06 to 2024-05-07" in report.notes[0]
    assert counts(lake) == {("2024-05-06", "night"): 500, ("2024-05-07", "night-2024-05-06"): 1000}
    rows = lake.recordings.read().sort("date")
    assert rows["file"].to_list() == ["2024-05-06/s01_night.parquet"] * 2
    assert rows["sha256"].n_unique() == 1
    assert rows["samples_read"].to_list() == [500, 1000]
    assert rows["coverage"].to_list() == [1.0, 1.0]
    assert set(lake.contents()) == {(dt.date(2024, 5, 6), "s01"), (dt.date(2024, 5, 7), "s01")}
    second = ingest(lake, settings)
    assert (second.landed, second.known) == ([], ["2024-05-06/s01_night.parquet"])


def test_midnight_is_that_of_the_project(export: Export, project: Path, lake: Lake) -> None:
    (project / "har.toml").write_text(HAR_TOML.replace('"UTC"', '"Asia/Kolkata"'))
    export(signal(dt.datetime(2024, 5, 6, 18, 29, 50, tzinfo=dt.UTC), 30), "s01_a")
    ingest(lake, load_settings(project))
    assert counts(lake) == {("2024-05-06", "a"): 500, ("2024-05-07", "a-2024-05-06"): 1000}


def test_a_file_within_one_date_stays_on_that_of_its_folder(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NINE, 10), "s01_a", "2024-05-07")
    assert ingest(lake, settings).notes == []
    assert counts(lake) == {("2024-05-07", "a"): 500}


def test_exports_that_end_with_the_first_sample_of_the_next_day(export: Export, lake: Lake, settings: Settings) -> None:
    evening = signal(NIGHT, 30)
    export(evening[:501], "s01_day")
    export(evening[500:], "s01_day", "2024-05-07")
    export(signal(NIGHT, 10.5, seed=1)[490:], "s02_short")
    report = ingest(lake, settings)
    assert report.notes == []
    assert report.overlapping == 1
    assert counts(lake) == {
        ("2024-05-06", "day"): 501,
        ("2024-05-06", "short"): 35,
        ("2024-05-07", "day"): 999,
    }


def test_less_than_a_second_before_midnight_belongs_to_the_next_day(
    export: Export, lake: Lake, settings: Settings
) -> None:
    export(signal(NIGHT, 30)[490:], "s01_day", "2024-05-07")
    ingest(lake, settings)
    assert counts(lake) == {("2024-05-07", "day"): 1010}


def test_faults_and_gaps_are_those_of_each_date(export: Export, lake: Lake, settings: Settings) -> None:
    frame = signal(NIGHT, 60).with_row_index("row")
    still = pl.when(pl.col("row").is_between(1000, 1099)).then(0.5).otherwise(pl.col("accel_x"))
    frame = frame.with_columns(accel_x=still).filter(~pl.col("row").is_between(1500, 1749)).drop("row")
    export(frame, "s01_night")
    ingest(lake, settings)
    first, second = lake.recordings.read().sort("date").iter_rows(named=True)
    assert (first["stuck"], first["gaps"], first["coverage"]) == (0, 0, 1.0)
    assert (second["stuck"], second["gaps"], second["samples"]) == (100, 1, 2250)
    assert second["coverage"] == pytest.approx(0.9, abs=0.01)
    assert lake.samples.read().filter(pl.col("date") == dt.date(2024, 5, 7))["segment"].unique().to_list() == [0, 1]


def test_a_replaced_file_leaves_no_part_behind(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NIGHT, 30), "s01_night")
    ingest(lake, settings)
    path = export(signal(NIGHT, 8, seed=1), "s01_night")
    changed = path.read_bytes()
    assert [type(bad.error).__name__ for bad in ingest(lake, settings).quarantined] == ["ConflictingRecordingError"]
    path.write_bytes(changed)
    report = ingest(lake, settings, replace=True)
    assert report.landed == ["2024-05-06/s01_night.parquet"]
    assert counts(lake) == {("2024-05-06", "night"): 400}


def test_a_copy_of_a_cut_file_is_a_duplicate(export: Export, lake: Lake, settings: Settings) -> None:
    path = export(signal(NIGHT, 30), "s01_night")
    ingest(lake, settings)
    copy = path.parents[1] / "2024-05-07" / "s01_night.parquet"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    report = ingest(lake, settings)
    [bad] = report.quarantined
    assert "the same bytes as session 'night' of subject 's01' on 2024-05-06" in str(bad.error)
    assert report.known == ["2024-05-06/s01_night.parquet"]


def test_a_session_with_the_name_of_a_part_is_refused(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NINE + dt.timedelta(days=1), 10), "s01_night-2024-05-06", "2024-05-07")
    ingest(lake, settings)
    export(signal(NIGHT, 30), "s01_night")
    [bad] = ingest(lake, settings).quarantined
    assert "session 'night-2024-05-06'" in str(bad.error)
    assert counts(lake) == {("2024-05-07", "night-2024-05-06"): 500}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("worn", [{}, {"placement": "left wrist"}])
def test_shared_minutes_are_counted_once(
    export: Export, lake: Lake, settings: Settings, at_once: bool, worn: dict[str, str]
) -> None:
    whole = signal(NINE, 40)
    export(whole[:1200], "s01_part1", **worn)
    report = IngestReport()
    if not at_once:
        report.add(ingest(lake, settings))
    export(whole[700:], "s01_part2", **worn)
    report.add(ingest(lake, settings))
    assert counts(lake) == {("2024-05-06", "part1"): 1200, ("2024-05-06", "part2"): 800}
    assert report.overlapping == 500
    assert report.notes == [
        "2024-05-06/s01_part2.parquet: 10.0 s are in session 'part1' on 2024-05-06 already, and are counted once."
    ]
    assert lake.recordings.read().sort("session")["overlapping"].to_list() == [0, 500]
    samples = lake.samples.read().sort("time")
    assert samples["time"].to_list() == whole["time"].to_list()
    assert "500 in two sessions and counted once" in report.summary


def test_what_lies_in_the_middle_splits_the_rest(export: Export, lake: Lake, settings: Settings) -> None:
    whole = signal(NINE, 30)
    export(whole[500:1000], "s01_middle")
    export(whole, "s01_whole")
    ingest(lake, settings)
    rest = lake.samples.read().filter(pl.col("session") == "whole").sort("time")
    assert rest.group_by("segment").len().sort("segment").rows() == [(0, 500), (1, 500)]
    assert lake.samples.read()["time"].is_unique().all()
    assert lake.recordings.read().filter(pl.col("session") == "whole")["gaps"].to_list() == [1]


def test_another_rate_and_rounding_are_the_same_signal(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NINE, 20), "s01_a")
    fast = signal(NINE + dt.timedelta(seconds=10, milliseconds=3), 20, rate_hz=100).with_columns(
        pl.col(CHANNELS).round(2)
    )
    export(fast, "s01_b")
    report = ingest(lake, settings)
    assert report.overlapping == 500
    assert counts(lake)["2024-05-06", "b"] == 500


def test_two_sensors_of_unknown_placement_are_both_kept_and_named(
    export: Export, lake: Lake, settings: Settings
) -> None:
    export(signal(NINE, 20), "s01_left")
    export(signal(NINE, 20, seed=1), "s01_right")
    report = ingest(lake, settings)
    assert counts(lake) == {("2024-05-06", "left"): 1000, ("2024-05-06", "right"): 1000}
    assert "20.0 s are at the same time as session 'left'" in report.notes[0]
    assert report.overlapping == 0


def test_two_placements_and_two_subjects_do_not_overlap(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NINE, 20), "s01_left", placement="left wrist")
    export(signal(NINE, 20, seed=1), "s01_right", placement="right wrist")
    export(signal(NINE, 20, seed=2), "s02_left", placement="left wrist")
    report = ingest(lake, settings)
    assert (len(report.landed), report.notes) == (3, [])


def test_one_place_has_one_signal_at_a_time(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NINE, 20), "s01_a", placement="left wrist")
    export(signal(NINE, 20, seed=1), "s01_b", placement="left wrist")
    export(signal(NINE + dt.timedelta(seconds=18), 20, seed=1), "s01_c", placement="left wrist")
    report = ingest(lake, settings)
    [bad] = report.quarantined
    assert type(bad.error).__name__ == "ConflictingRecordingError"
    assert "20.0 s at the same time as session 'a'" in str(bad.error)
    # Clocks differ: a few seconds between two sessions are the earlier one's.
    assert counts(lake) == {("2024-05-06", "a"): 1000, ("2024-05-06", "c"): 900}


def test_labels_that_are_left_out_are_named(export: Export, lake: Lake, settings: Settings) -> None:
    whole = signal(NINE, 30)
    export(whole[:1000], "s01_a")
    export(whole[500:], "s01_b", activity="ROW")
    assert "Their labels are left out with them" in ingest(lake, settings).notes[0]


def test_what_a_replaced_file_no_longer_has_comes_from_the_other(
    export: Export, lake: Lake, settings: Settings
) -> None:
    whole = signal(NINE, 40)
    export(whole[:1200], "s01_a")
    export(whole[700:], "s01_b")
    ingest(lake, settings)
    export(whole[:500], "s01_a")
    report = ingest(lake, settings, replace=True)
    assert (report.landed, report.known) == (["2024-05-06/s01_a.parquet"], ["2024-05-06/s01_b.parquet"])
    assert counts(lake) == {("2024-05-06", "a"): 500, ("2024-05-06", "b"): 1300}
    export(whole, "s01_a")
    report = ingest(lake, settings, replace=True)
    assert [bad.file for bad in report.quarantined] == ["2024-05-06/s01_b.parquet"]
    assert counts(lake) == {("2024-05-06", "a"): 2000}


def test_what_an_older_release_ingested_is_cut_when_it_is_read_again(
    export: Export, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(signal(NIGHT, 30), "s01_night")
    with monkeypatch.context() as patch:
        patch.setattr(
            "har.jobs.ingest.cut_at_midnight", lambda file, recording, _: [Part(file.date, file.session, recording)]
        )
        ingest(lake, settings)
    older = lake.recordings.read().with_columns(pl.lit(None, pl.Int64).alias("overlapping"))
    partition = (dt.date(2024, 5, 6), "s01")
    lake.recordings.replace(older, [partition])
    scored = {
        "date": partition[0],
        "subject": "s01",
        "model_version": 1,
        "windows": 0,
        "content": lake.contents()[partition],
    }
    lake.scores.replace(pl.DataFrame([scored], lake.scores.schema), [partition])
    assert ingest(lake, settings).known == ["2024-05-06/s01_night.parquet"]
    assert (len(counts(lake)), pending(lake, 1)) == (1, {})
    report = ingest(lake, settings, replace=True)
    assert (report.landed, report.known) == ([], ["2024-05-06/s01_night.parquet"])
    assert counts(lake) == {("2024-05-06", "night"): 500, ("2024-05-07", "night-2024-05-06"): 1000}
    assert len(pending(lake, 1)) == 2
    version = lake.samples.version()
    ingest(lake, settings, replace=True)
    assert lake.samples.version() == version


def test_a_day_without_recordings_keeps_nothing_that_was_made_of_them(
    export: Export, lake: Lake, settings: Settings
) -> None:
    export(signal(NIGHT, 30), "s01_night")
    ingest(lake, settings)
    gone = (dt.date(2024, 5, 7), "s01")
    rows = pl.DataFrame(
        {"date": gone[0], "subject": "s01", "session": ["night-2024-05-06", "online"], "request_id": [None, "r"]},
        {name: lake.predictions.schema[name] for name in ("date", "subject", "session", "request_id")},
    )
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in lake.predictions.schema.items() if name not in rows]
    lake.predictions.replace(rows.with_columns(absent), [gone])
    lake.scores.replace(pl.DataFrame([{"date": gone[0], "subject": "s01"}], lake.scores.schema), [gone])
    export(signal(NIGHT, 8, seed=1), "s01_night")
    ingest(lake, settings, replace=True)
    assert lake.predictions.read()["session"].to_list() == ["online"]
    assert lake.scores.read().is_empty()
    assert list(lake.contents()) == [(dt.date(2024, 5, 6), "s01")]


def test_a_part_that_the_lake_lost_comes_back(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NIGHT, 30), "s01_night")
    export(signal(NIGHT + dt.timedelta(hours=9), 10, seed=1), "s01_day", "2024-05-07")
    ingest(lake, settings)
    before = lake.samples.read().sort("time")
    lost = (dt.date(2024, 5, 7), "s01")
    lake.samples.replace(lake.samples.read(partitions=[lost])[:100], [lost])
    report = ingest(lake, settings)
    assert (
        sorted(report.restored)
        == sorted(report.landed)
        == ["2024-05-06/s01_night.parquet", "2024-05-07/s01_day.parquet"]
    )
    assert lake.samples.read().sort("time").equals(before)
    assert len(counts(lake)) == 3


def test_a_file_that_is_read_again_without_a_change_stays_scored(
    export: Export, lake: Lake, settings: Settings
) -> None:
    export(signal(NINE, 20), "s01_a")
    ingest(lake, settings)
    partition = (NINE.date(), "s01")
    older = lake.recordings.read().with_columns(pl.lit(None, pl.Int64).alias("overlapping"))
    lake.recordings.replace(older, [partition])
    scored = {"date": partition[0], "subject": "s01", "model_version": 1, "content": lake.contents()[partition]}
    lake.scores.replace(pl.DataFrame([scored], lake.scores.schema), [partition])
    version = lake.samples.version()
    assert ingest(lake, settings, replace=True).known == ["2024-05-06/s01_a.parquet"]
    assert lake.samples.version() > version
    assert len(lake.scores.read()) == 1


def test_what_is_odd_about_a_file_is_said(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(NINE, 20).with_columns(pl.col(CHANNELS[3:]) * 0), "s01_a")
    report = ingest(lake, settings)
    assert report.landed == ["2024-05-06/s01_a.parquet"]
    assert "2024-05-06/s01_a.parquet: gyro_x, gyro_y, gyro_z do not change" in report.notes[0]


def test_the_last_day_of_the_calendar(export: Export, lake: Lake, settings: Settings) -> None:
    export(signal(dt.datetime(9999, 12, 31, 9, tzinfo=dt.UTC), 10), "s01_a", "9999-12-31")
    report = ingest(lake, settings)
    assert len(report.landed) + len(report.quarantined) == 1
