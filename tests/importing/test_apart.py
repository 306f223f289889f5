"""Accelerometer and gyroscope in files of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_support import START_MS, Look
from tests_support import HAR_TOML

from har.errors import NotARecordingError, RecordingTimeError, SettingsError
from har.settings import load_settings

XYZ = {"time": "time", "accelerometer": "x,y,z", "gyroscope": "x,y,z", "activity": "none", "pattern": "{subject}/*"}


def _write(path: Path, values: np.ndarray, *, start_us: int = START_MS * 1000, header: str = "time,z,y,x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = start_us + np.arange(len(values)) * 20_000
    rows = [f"{stamp},{z!r},{y!r},{x!r}" for stamp, (x, y, z) in zip(stamps.tolist(), values.tolist(), strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("accelerometer", "gyroscope", "options"),
    [
        ("anna/TotalAcceleration.csv", "anna/Gyroscope.csv", {}),
        ("anna/Accelerometer.csv", "anna/Gyroscope.csv", {}),
        ("anna/walk_acc.TXT", "anna/walk_gyro.TXT", {}),
        ("anna/Total Acceleration 2.csv", "anna/Rotation Rate 2.csv", {}),
        ("anna/a1.csv", "anna/g1.csv", {"accelerometer-file": "a*.csv", "gyroscope-file": "g*.csv"}),
        (
            "anna/acc/1.csv",
            "anna/gyr/1.csv",
            {"accelerometer-file": "acc/*.csv", "gyroscope-file": "gyr/*.csv", "pattern": "{subject}/*/*"},
        ),
    ],
)
def test_two_files_with_the_same_columns_are_brought_together(
    tmp_path: Path, signal: np.ndarray, look: Look, accelerometer: str, gyroscope: str, options: dict[str, str]
) -> None:
    _write(tmp_path / "data" / accelerometer, signal[:, :3])
    _write(tmp_path / "data" / gyroscope, signal[:, 3:], start_us=START_MS * 1000 + 4_000)
    result = look(options={**XYZ, "time-unit": "us", **options})
    assert (result.refused, result.passed) == ([], [])
    (staged,) = result.staged
    table = pl.read_parquet(staged.file.path)
    assert len(table) == 899  # the gyroscope began 4 ms later
    assert result.faults["samples without a matching sample of the other sensor, left out"] == 1
    np.testing.assert_allclose(table["accel_x"], signal[1:, 0], rtol=1e-5)
    expected = signal[:-1, 3] + (signal[1:, 3] - signal[:-1, 3]) * 0.8  # 16 of 20 ms between two samples
    np.testing.assert_allclose(table["gyro_x"], expected, rtol=1e-4, atol=1e-5)


def test_the_acceleration_with_gravity_is_taken(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    for name, values in (
        ("TotalAcceleration", signal[:, :3]),
        ("Accelerometer", signal[:, :3] * 0.01),
        ("AccelerometerUncalibrated", signal[:, :3] * 9),
        ("LinearAcceleration", signal[:, :3] * 0),
        ("Gyroscope", signal[:, 3:]),
        ("GyroscopeUncalibrated", signal[:, 3:] + 1),
    ):
        _write(tmp_path / "data" / "anna" / f"{name}.csv", values)
    (tmp_path / "data" / "anna" / "._TotalAcceleration.csv").write_bytes(b"\x00\x05\x16\x07")
    result = look(options={**XYZ, "time-unit": "us"})
    assert result.refused == []
    table = pl.read_parquet(result.staged[0].file.path)
    np.testing.assert_allclose(table["accel_x"], signal[:, 0], rtol=1e-5)
    np.testing.assert_allclose(table["gyro_y"], signal[:, 4], rtol=1e-5)
    assert result.passed[0].count == 4
    assert result.faults["AppleDouble files, skipped"] == 1


def test_a_file_of_one_sensor_alone_is_never_taken_for_two(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    _write(tmp_path / "data" / "anna" / "TotalAcceleration.csv", signal[:, :3])
    result = look(options={**XYZ, "time-unit": "us"})
    assert result.staged == []
    assert isinstance(result.refused[0].error, NotARecordingError)
    assert "gyroscope-file" in result.refused[0].error.remedy
    with pytest.raises(SettingsError, match="one column cannot be two sensors"):
        look(options={**XYZ, "gyroscope": "x,y,w"})
    with pytest.raises(SettingsError, match="option time"):
        look(options={**XYZ, "time": "x"})
    with pytest.raises(SettingsError, match="option activity"):
        look(options={**XYZ, "time-unit": "us", "activity": "x"})
    with pytest.raises(SettingsError, match="gyroscope-file"):
        look(options={**XYZ, "accelerometer-file": "a*.csv"})


def test_files_of_different_times_are_refused(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    _write(tmp_path / "data" / "anna" / "acc.csv", signal[:, :3])
    _write(tmp_path / "data" / "anna" / "gyro.csv", signal[:, 3:], start_us=(START_MS + 86_400_000) * 1000)
    error = look(options={**XYZ, "time-unit": "us"}).refused[0].error
    assert isinstance(error, RecordingTimeError)
    assert "different times" in error.got
    _write(tmp_path / "data" / "anna" / "gyro.csv", signal[:, 3:], start_us=0)
    assert "counts from an unknown start" in look(options={**XYZ, "time-unit": "us"}).refused[0].error.got


def test_a_project_of_one_sensor_can_name_its_files(
    tmp_path: Path, project: Path, signal: np.ndarray, look: Look
) -> None:
    text = HAR_TOML[: HAR_TOML.index("[sensors.gyroscope]")] + HAR_TOML[HAR_TOML.index("[windows]") :]
    (project / "har.toml").write_text(text)
    _write(tmp_path / "data" / "anna" / "acc.csv", signal[:, :3])
    _write(tmp_path / "data" / "anna" / "other.csv", signal[:, :3])
    options = {**XYZ, "time-unit": "us", "accelerometer-file": "acc.csv", "gyroscope": "x,y,z"}
    result = look(using=load_settings(project), options=options)
    assert (len(result.staged), result.refused, result.passed[0].examples) == (1, [], ("anna/other.csv",))
    with pytest.raises(SettingsError, match="no other sensor"):
        look(using=load_settings(project), options={**options, "gyroscope-file": "g.csv"})
