"""Accelerometer and gyroscope from two files, at two rates, of which the clocks differ."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_support import START_MS, Look
from numpy.typing import NDArray

from har.errors import RecordingTimeError, SettingsError
from har.recordings.layouts._clocks import UNCOMPARED, Track, clock_offset

XYZ = {"time": "time", "accelerometer": "x,y,z", "gyroscope": "x,y,z", "activity": "none", "pattern": "{subject}/*"}
FINE_HZ = 200


def moved(seconds: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A wrist that turns in bursts: acceleration in g and angular rate in rad/s, (n, 3), at 200 Hz."""
    count = round(seconds * FINE_HZ)
    noise = rng.normal(size=(count, 3))
    width = FINE_HZ // 5
    smooth = np.stack([np.convolve(noise[:, axis], np.hanning(width), "same") for axis in range(3)], axis=1)
    bursts = np.repeat(rng.gamma(0.7, 1.0, size=-(-count // 150)), 150)[:count, None]
    rate = 0.4 * smooth * bursts
    down = np.empty((count, 3))
    down[0] = 0, 0, 1
    for place in range(1, count):
        step = down[place - 1] + np.cross(down[place - 1], rate[place - 1]) / FINE_HZ
        down[place] = step / np.linalg.norm(step)
    return down + rng.normal(0, 0.002, down.shape), rate + rng.normal(0, 0.01, rate.shape)


@pytest.fixture(scope="module")
def movement() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return moved(90, np.random.default_rng(0))


def sampled(values: NDArray[np.float64], rate_hz: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    times = np.arange(0, len(values) / FINE_HZ, 1 / rate_hz)
    fine = np.arange(len(values)) / FINE_HZ
    stamps = START_MS * 1000 + np.round(1e6 * times).astype(np.int64)
    return stamps, np.stack([np.interp(times, fine, values[:, axis]) for axis in range(3)], axis=1)


def write(path: Path, stamps: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{stamp},{x!r},{y!r},{z!r}" for stamp, (x, y, z) in zip(stamps.tolist(), values.tolist(), strict=True)]
    path.write_text("\n".join(["time,x,y,z", *rows]) + "\n")


@pytest.fixture
def apart(tmp_path: Path, movement: tuple[NDArray[np.float64], NDArray[np.float64]], look: Look):
    """Import the movement, the accelerometer at 50 Hz, the gyroscope at 41.7 Hz with its clock `ahead_s`."""
    accel, gyro = sampled(movement[0], 50), sampled(movement[1], 41.7)

    def run(ahead_s: float, **options: str):
        write(tmp_path / "data" / "anna" / "Accelerometer.csv", *accel)
        write(tmp_path / "data" / "anna" / "Gyroscope.csv", gyro[0] + round(1e6 * ahead_s), gyro[1])
        return look(
            options={**XYZ, "time-unit": "us", **{name.replace("_", "-"): one for name, one in options.items()}}
        )

    return run


def error_of(result, movement: tuple[NDArray[np.float64], NDArray[np.float64]]) -> float:
    """How far the imported angular rate is from the truth, relative to its size."""
    (staged,) = result.staged
    table = pl.read_parquet(staged.file.path)
    seconds = (table["time"].dt.epoch("us").to_numpy() - START_MS * 1000) / 1e6
    truth = np.interp(seconds, np.arange(len(movement[1])) / FINE_HZ, movement[1][:, 0])
    return float(np.std(table["gyro_x"].to_numpy() - truth) / np.std(truth))


@pytest.mark.parametrize("ahead_s", [0.5, -0.8])
def test_an_offset_within_the_setting_is_corrected_and_said(apart, movement, ahead_s: float) -> None:
    result = apart(ahead_s)
    assert result.refused == []
    (words,) = [words for words in result.faults if "gyroscope was moved by" in words]
    assert f"moved by {-ahead_s:+.1f}" in words
    assert [note for note in result.staged[0].quality.notes if "gyroscope was moved by" in note]  # goes to the lake
    assert error_of(result, movement) < 0.15
    assert error_of(apart(ahead_s, max_offset="0"), movement) > 0.9


def test_clocks_that_are_the_same_are_left_alone(apart, movement) -> None:
    for ahead_s in (0.0, 0.03):
        result = apart(ahead_s)
        assert not [words for words in result.faults if "gyroscope was moved" in words or words.endswith(UNCOMPARED)]
    assert error_of(apart(0.0), movement) < 0.15


def test_an_offset_beyond_the_setting_is_refused_with_the_option_that_allows_it(apart, movement) -> None:
    result = apart(2.5)
    assert result.staged == []
    (refused,) = result.refused
    assert isinstance(refused.error, RecordingTimeError)
    assert "at most 1 s apart (recordings.max_clock_offset_s)" in str(refused.error)
    assert re.search(r"moved by -2\.(4[5-9]|5[0-4]) s", str(refused.error))
    assert "-o max-offset=3" in str(refused.error)
    assert error_of(apart(2.5, max_offset="3"), movement) < 0.15
    with pytest.raises(SettingsError, match="max-offset"):
        apart(2.5, max_offset="long")


def test_too_little_movement_is_said_and_stamps_are_kept(tmp_path: Path, look: Look) -> None:
    rng = np.random.default_rng(1)
    stamps = START_MS * 1000 + np.arange(3000) * 20_000
    write(tmp_path / "data" / "anna" / "Accelerometer.csv", stamps, rng.normal([0, 0, 1], 0.003, (3000, 3)))
    write(tmp_path / "data" / "anna" / "Gyroscope.csv", stamps, rng.normal(0, 0.01, (3000, 3)))
    result = look(options={**XYZ, "time-unit": "us"})
    assert len(result.staged) == 1
    assert result.faults[f"recordings of which this is odd: {UNCOMPARED}"] == 1


def test_drift_over_hours_is_measured(movement: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    rng = np.random.default_rng(2)
    (_, accel), (_, gyro) = sampled(movement[0], 50), sampled(movement[1], 50)
    count = 2 * 3600 * 50
    order = rng.permutation(90)[np.arange(count // 50) % 90]  # the seconds of the movement in another order
    rows = (order[:, None] * 50 + np.arange(50)).ravel()
    times = np.arange(count) * 20_000
    stamps = times + np.round(1e6 * (0.4 + 5e-5 * (times / 1e6 - 3600))).astype(np.int64)
    found = clock_offset(Track(times, accel[rows]), Track(stamps, gyro[rows]), 5.0)
    assert found is not None
    assert found.clear
    assert np.abs(found.corrected(stamps) - times).max() < 50_000


def test_recordings_that_are_too_short_tell_nothing(movement: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    (times, accel), (_, gyro) = sampled(movement[0], 50), sampled(movement[1], 50)
    whole, turned = Track(times, accel), Track(times, gyro)
    assert clock_offset(Track(times[:1000], accel[:1000]), turned, 5.0) is None
    assert clock_offset(Track(times[:0], accel[:0]), turned, 5.0) is None
    assert clock_offset(whole, Track(times + 10**10, gyro), 5.0) is None
