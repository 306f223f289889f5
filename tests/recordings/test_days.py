"""Recordings over midnight on the days of 23 and 25 hours, and a sensor that sleeps."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from har.recordings import InboxFile, Recording, cut_at_midnight, read_recording
from har.recordings.layouts._sessions import session_bounds
from har.settings import Settings

VIENNA = ZoneInfo("Europe/Vienna")
CHANNELS = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]
DAYS = {dt.date(2024, 3, 31): 23, dt.date(2024, 10, 27): 25, dt.date(2024, 6, 1): 24}


@pytest.fixture
def vienna(change) -> Settings:
    """A project in Vienna with one sample per second."""
    return change(
        project={"timezone": "Europe/Vienna"},
        recordings={"max_gap_s": 2.0},
        sensors={"rate_hz": 1},
        windows={"length_s": 10.0},
    )


def hours(first: dt.datetime, last: dt.datetime) -> np.ndarray:
    """One stamp per second, µs UTC."""
    return np.arange(round(first.timestamp()), round(last.timestamp())) * 1_000_000


def read(
    path: Path, times: np.ndarray, settings: Settings, values: np.ndarray | None = None
) -> tuple[InboxFile, Recording]:
    if values is None:
        values = np.random.default_rng(0).normal([0, 0, 1, 0, 0, 0], 0.01, (len(times), 6))
    stamps = pl.Series("time", times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    frame = pl.DataFrame(values, schema=CHANNELS).insert_column(0, stamps)
    date = dt.datetime.fromtimestamp(int(times[0]) / 1e6, VIENNA).date()
    file = InboxFile(path / date.isoformat() / "s01_night.parquet", date, "s01", "night")
    file.path.parent.mkdir(parents=True)
    frame.write_parquet(file.path)
    return file, read_recording(file, settings)


@pytest.mark.parametrize(("date", "length"), DAYS.items())
def test_every_day_is_whole_whatever_its_hours(tmp_path: Path, vienna: Settings, date: dt.date, length: int) -> None:
    midnight = dt.datetime.combine(date, dt.time(), VIENNA)
    over = dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), VIENNA)
    times = hours(midnight - dt.timedelta(hours=1), over + dt.timedelta(hours=1))
    file, recording = read(tmp_path, times, vienna)
    parts = cut_at_midnight(file, recording, vienna)
    assert [part.date for part in parts] == [date + dt.timedelta(days=number) for number in (-1, 0, 1)]
    assert [len(part.recording.frame) for part in parts] == [3600, length * 3600, 3600]
    assert sum(len(part.recording.frame) for part in parts) == len(times)
    bounds = session_bounds(times, "utc", "Europe/Vienna")
    assert np.diff(bounds).tolist() == [3600, length * 3600, 3600]


@pytest.mark.parametrize("kind", ["zeros", "last values"])
def test_a_sensor_that_sleeps_is_flagged_counted_and_said(tmp_path: Path, vienna: Settings, kind: str) -> None:
    begin = dt.datetime(2024, 6, 1, 12, tzinfo=VIENNA)
    times = hours(begin, begin + dt.timedelta(hours=2))
    rng = np.random.default_rng(1)
    values = rng.normal([0, 0, 1, 0, 0, 0], [0.1, 0.1, 0.1, 0.2, 0.2, 0.2], (len(times), 6))
    for first in (1000, 5000):
        values[first : first + 601] = 0 if kind == "zeros" else values[first]
    _, recording = read(tmp_path, times, vienna, values)
    assert recording.quality.idle_s == 1200
    assert recording.quality.stuck >= 1202
    (note,) = [note for note in recording.quality.notes if "slept" in note]
    assert note.startswith("the sensor slept 2 times, 1,200 s in all, from 2024-06-01T10:16:40Z")


def test_a_few_equal_samples_are_no_sleep(tmp_path: Path, vienna: Settings) -> None:
    begin = dt.datetime(2024, 6, 1, 12, tzinfo=VIENNA)
    times = hours(begin, begin + dt.timedelta(minutes=10))
    values = np.random.default_rng(2).normal([0, 0, 1, 0, 0, 0], 0.1, (len(times), 6))
    values[100:109] = values[100]
    _, recording = read(tmp_path, times, vienna, values)
    assert recording.quality.stuck > 0
    assert recording.quality.idle_s == 0
    assert not [note for note in recording.quality.notes if "slept" in note]


def test_non_wear_over_midnight_is_each_days(tmp_path: Path, vienna: Settings) -> None:
    midnight = dt.datetime(2024, 6, 2, tzinfo=VIENNA)
    times = hours(midnight - dt.timedelta(hours=4), midnight + dt.timedelta(hours=4))
    rng = np.random.default_rng(3)
    values = rng.normal([0, 0, 1, 0, 0, 0], 0.1, (len(times), 6))
    off = slice(2 * 3600, 6 * 3600)
    values[off, :3] = rng.normal([0, 0, 1], 0.003, (4 * 3600, 3))
    file, recording = read(tmp_path, times, vienna, values)
    assert recording.quality.nonwear_s == 4 * 3600
    parts = cut_at_midnight(file, recording, vienna)
    assert [part.recording.quality.nonwear_s for part in parts] == [2 * 3600, 2 * 3600]
    zero = int(midnight.timestamp()) * 1_000_000
    assert parts[0].recording.quality.nonwear == ((zero - 2 * 3_600_000_000, zero),)
