"""Gaps, sleep, non-wear and calibration of a recording with known truth: what import, ingest and recordings say."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from tests_support import HAR_TOML
from typer.testing import CliRunner

from har.jobs.find_gaps import find_gaps
from har.jobs.ingest import ingest
from har.plausibility import GRAVITY
from har.project import open_project
from har_cli import importing as import_cli
from har_cli import recordings as recordings_cli
from har_cli._app import app

RATE_HZ = 10
BEGIN = dt.datetime(2024, 5, 5, 18, tzinfo=dt.UTC)  # 20:00 in Vienna; the recording goes over midnight
HOURS = 8
OPTIONS = ["-o", "time=t", "-o", "accelerometer=ax,ay,az", "-o", "gyroscope=gx,gy,gz"]
GAIN, OFFSET_G = 1.03, 0.02


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (import_cli, recordings_cli):
        monkeypatch.setattr(module, "out", Console(soft_wrap=True, highlight=False, width=250))


def har(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def rows(hours: float) -> slice:
    """The samples of 15 minutes, some hours after the start."""
    first = round(hours * 3600 * RATE_HZ)
    return slice(first, first + 900 * RATE_HZ)


@pytest.fixture
def truth(tmp_path: Path, project: Path) -> pl.DataFrame:
    """Write s01_night.parquet: not worn from 2 h to 4 h, asleep from 5 h for 15 minutes, a gap of 90 s at 6 h."""
    toml = HAR_TOML.replace('"UTC"', '"Europe/Vienna"').replace("rate_hz = 50.0", "rate_hz = 10.0")
    (project / "har.toml").write_text(toml)
    rng = np.random.default_rng(3)
    count = HOURS * 3600 * RATE_HZ
    turned = 3 * 60 * RATE_HZ
    positions = rng.normal(size=(3, -(-count // turned)))
    positions /= np.linalg.norm(positions, axis=0)
    accel = np.repeat(positions, turned, axis=1)[:, :count] + rng.normal(0, 0.004, (3, count))
    moving = np.arange(count) // turned % 2 == 1
    accel[:, moving] += rng.normal(0, 0.2, (3, int(moving.sum())))
    off = slice(2 * 3600 * RATE_HZ, 4 * 3600 * RATE_HZ)
    accel[:, off] = np.array([[0], [0], [1]]) + rng.normal(0, 0.003, accel[:, off].shape)
    asleep = rows(5)
    accel[:, asleep] = accel[:, asleep.start, None]
    gyro = rng.normal(0, 0.05, (3, count))
    gyro[:, asleep] = 0
    time = pl.Series(np.arange(count) * 100_000).cast(pl.Duration("us")) + BEGIN
    names = ["ax", "ay", "az", "gx", "gy", "gz"]
    frame = pl.DataFrame({"t": time, **dict(zip(names, [*accel, *gyro], strict=True))})
    kept = np.ones(count, bool)
    kept[rows(6).start : rows(6).start + 90 * RATE_HZ - 1] = False
    frame = frame.filter(kept)
    measured = frame.with_columns(pl.col("ax", "ay", "az") * GAIN + OFFSET_G)
    (tmp_path / "in").mkdir()
    measured.write_parquet(tmp_path / "in" / "s01_night.parquet")
    return frame


def test_a_dry_run_reports_and_nothing_is_applied_unless_asked(
    truth: pl.DataFrame, tmp_path: Path, project: Path
) -> None:
    said = har("import", "parquet", str(tmp_path / "in"), "--dry-run", *OPTIONS)
    assert "1 gap longer than 0.5 s in 1 of 1 recordings: the longest" in said
    assert "2024-05-06 01:59:59.900+02:00" in said
    assert "2024-05-06 02:01:29.900+02:00" in said
    assert "The sensor slept (its last values, or zeros, are repeated): 15.0 min in 1 of 1 recordings." in said
    assert "Not worn: " in said
    assert "Not applied: --calibrate does." in said
    assert not (project / "data" / "inbox").exists()

    har("import", "parquet", str(tmp_path / "in"), *OPTIONS)
    report = ingest(open_project())
    assert any("the sensor slept once, 900 s in all, from 2024-05-05T23:00:00Z" in note for note in report.notes)
    lake = open_project().lake
    kept = lake.recordings.read().sort("date")
    assert kept["date"].to_list() == [dt.date(2024, 5, 5), dt.date(2024, 5, 6)]
    assert kept["idle_s"].to_list() == pytest.approx([0, 900], abs=0.2)
    assert kept["calibrated"].to_list() == [False, False]
    assert all(error > 20 for error in kept["calibration_error_mg"])
    assert all(error < 2 for error in kept["calibrated_error_mg"])
    for gains, offsets in kept.select("calibration_gain", "calibration_offset_mg").iter_rows():
        np.testing.assert_allclose(gains, 1 / GAIN, atol=0.002)
        np.testing.assert_allclose(offsets, -1000 * OFFSET_G / GAIN, atol=2)
    # From 22:00 to 24:00 in Vienna, before midnight.
    assert kept["nonwear_s"].to_list() == pytest.approx([7200, 0], abs=900)
    ((interval,), ()) = kept["nonwear"].to_list()
    assert abs(interval["start"] - dt.datetime(2024, 5, 5, 20, tzinfo=dt.UTC)) <= dt.timedelta(minutes=15)
    stored = lake.samples.read().sort("time")
    np.testing.assert_allclose(stored["accel_x"], (truth["ax"] * GAIN + OFFSET_G) * GRAVITY, rtol=1e-4, atol=1e-4)

    listed = har("recordings", "--gaps")
    assert "1, up to 90.0 s" in listed
    assert "15.0 min" in listed
    assert "if calibrated)" in listed
    assert "2024-05-06 02:01:29.900+02:00" in listed
    assert "The lake has no such recording" in har("recordings", "--subject", "s02")
    assert "none" in har("recordings", "--date", "2024-05-05", "--subject", "s01")


def test_calibrate_corrects_to_within_two_mg_and_is_noted_in_file_and_lake(
    truth: pl.DataFrame, tmp_path: Path, project: Path
) -> None:
    said = har("import", "parquet", str(tmp_path / "in"), "--calibrate", *OPTIONS)
    assert "calibrated" in said
    assert "mg after gain 0.97" in said
    assert "--calibrate does" not in said
    ingest(open_project())
    lake = open_project().lake
    stored = lake.samples.read().sort("time")
    for name, column in zip(("accel_x", "accel_y", "accel_z"), ("ax", "ay", "az"), strict=True):
        assert float((stored[name] / GRAVITY - truth[column]).abs().max()) < 0.002
    kept = lake.recordings.read()
    assert kept["calibrated"].to_list() == [True, True]
    assert all(error > 20 for error in kept["calibration_error_mg"])
    assert all(error < 2 for error in kept["calibrated_error_mg"])
    assert "(calibrated, was" in har("recordings")
    again = har("import", "parquet", str(tmp_path / "in"), "--calibrate", *OPTIONS)
    assert "0 files written, 1 there already" in again


def test_a_recording_in_one_position_is_imported_as_it_is(tmp_path: Path, truth: pl.DataFrame) -> None:
    path = tmp_path / "in" / "s01_night.parquet"
    still = pl.read_parquet(path).with_columns(pl.col("ax").abs(), pl.col("ay").abs(), pl.col("az").abs())
    still.write_parquet(path)
    said = har("import", "parquet", str(path), "--calibrate", *OPTIONS)
    assert "not calibrated" in said
    assert "too few positions at rest" in said
    assert "1 files written" in said


def test_gaps_are_bounded_and_counted_in_full(project: Path) -> None:
    from har.lake import Lake

    opened = open_project(project)
    lake: Lake = opened.lake
    count = 500
    frame = pl.DataFrame(
        {
            "date": [BEGIN.date()] * count,
            "subject": ["s01"] * count,
            "session": ["a"] * count,
            "segment": range(count),
            "time": [BEGIN + dt.timedelta(seconds=float(number + (number > 100) * 50)) for number in range(count)],
            **dict.fromkeys(lake.channels, 0.0),
            "activity": None,
            "flags": 0,
        },
        schema_overrides=lake.samples.schema,
    ).select(lake.samples.schema.names())
    lake.samples.replace(frame.cast(dict(lake.samples.schema)), [(BEGIN.date(), "s01")])
    found = find_gaps(opened, [(BEGIN.date(), "s01")], most=3)
    assert found.count == count - 1
    assert found.seconds == pytest.approx(count - 1 + 50)
    assert len(found.longest) == 3
    assert max(gap.seconds for gap in found.longest) == pytest.approx(51)
