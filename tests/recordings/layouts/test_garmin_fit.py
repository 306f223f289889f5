from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from fit_support import (
    ACCELEROMETER,
    CALIBRATION,
    CORRELATION,
    EPOCH_S,
    GYROSCOPE,
    RECORD,
    batches,
    file_id,
    write_fit,
)

from har.errors import FileNameError, NotARecordingError, RecordingError, UnitError
from har.recordings.layouts import RawRecording, Source, find_layout
from har.sample import SampleRecording, sample_recordings
from har.settings import Settings

START = dt.datetime(2024, 5, 6, 9, 30, 0, 250_000, dt.UTC)
START_MS = round(START.timestamp() * 1000) - EPOCH_S * 1000


@pytest.fixture(scope="module")
def real() -> SampleRecording:
    return sample_recordings()[0]


def _times_ms(count: int, start_ms: int = START_MS) -> np.ndarray:
    return start_ms + np.arange(count) * 20


def _gyro(real: SampleRecording, times_ms: np.ndarray | None = None) -> list:
    times = _times_ms(len(real.gyro_rad_s)) if times_ms is None else times_ms
    return batches(GYROSCOPE, times, np.degrees(real.gyro_rad_s), (5, 6, 7), "float32")


def _read(path: Path, settings: Settings, **options: str) -> RawRecording:
    layout = find_layout("garmin-fit")
    (found,) = layout.read(path, Source(path.parent, options, settings))
    return found


def test_calibrated_values_come_back_as_recorded(tmp_path: Path, settings: Settings, real: SampleRecording) -> None:
    times = _times_ms(len(real.accel_g))
    accel = batches(ACCELEROMETER, times, real.accel_g, (5, 6, 7), "float32")
    path = write_fit(tmp_path / "s01_walk.fit", [file_id(), *accel, *_gyro(real)])
    found = _read(path, settings)
    assert (found.subject, found.session, found.clock, found.device) == ("s01", "walk", "utc", "garmin")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.accelerometer.unit, found.gyroscope.unit) == ("g", "deg/s")
    np.testing.assert_array_equal(found.accelerometer.values, real.accel_g.astype(np.float32))
    np.testing.assert_allclose(found.gyroscope.values, np.degrees(real.gyro_rad_s), rtol=1e-6)
    np.testing.assert_array_equal(found.times_us, round(START.timestamp() * 1e6) + np.arange(len(times)) * 20_000)
    assert not found.faults


def test_compressed_values_are_exact_to_a_milli_g(tmp_path: Path, settings: Settings, real: SampleRecording) -> None:
    counts = np.round(real.accel_g * 1000).astype(np.int16)
    accel = batches(ACCELEROMETER, _times_ms(len(counts)), counts, (8, 9, 10), "sint16")
    found = _read(write_fit(tmp_path / "s01_walk.fit", [file_id(), *accel, *_gyro(real)]), settings)
    assert found.accelerometer is not None
    assert found.accelerometer.unit == "mg"
    assert np.abs(found.accelerometer.values / 1000 - real.accel_g).max() <= 0.0005 + 1e-12


def _calibration(**without: bool) -> tuple:
    # 4 g over 8192 counts about 32768, and axes turned: device x is -y of the sensor, y is x.
    fields = {
        "sensor": (0, "enum", 0),
        "factor": (1, "uint32", 4),
        "divisor": (2, "uint32", 8192),
        "shift": (3, "uint32", 32768),
        "offset": (4, "sint32", [12, -30, 5]),
        "orientation": (5, "sint32", [0, -65535, 0, 65535, 0, 0, 0, 0, 65535]),
    }
    stamp = (253, "uint32", START_MS // 1000)
    return CALIBRATION, [stamp, *(field for name, field in fields.items() if not without.get(name))]


def _counts(real: SampleRecording) -> np.ndarray:
    # The sensor's own axes, from the device's by the inverse of the orientation above.
    sensor = np.stack([real.accel_g[:, 1], -real.accel_g[:, 0], real.accel_g[:, 2]], axis=1)
    return np.round(sensor * 8192 / 4 + [12, -30, 5] + 32768).astype(np.uint16)


def test_raw_counts_are_calibrated(tmp_path: Path, settings: Settings, real: SampleRecording) -> None:
    accel = batches(ACCELEROMETER, _times_ms(len(real.accel_g)), _counts(real), (2, 3, 4), "uint16")
    path = write_fit(tmp_path / "s01_walk.fit", [file_id(), _calibration(), *accel, *_gyro(real)])
    found = _read(path, settings)
    assert found.accelerometer is not None
    assert found.accelerometer.unit == "g"
    assert np.abs(found.accelerometer.values - real.accel_g).max() <= 4 / 8192 / 2 + 1e-9


@pytest.mark.parametrize("absent", [None, "factor", "divisor", "shift", "offset", "orientation"])
def test_raw_counts_without_calibration_are_refused_by_name(
    tmp_path: Path, settings: Settings, real: SampleRecording, absent: str | None
) -> None:
    accel = batches(ACCELEROMETER, _times_ms(50), _counts(real)[:50], (2, 3, 4), "uint16")
    calibration = [] if absent is None else [_calibration(**{absent: True})]
    path = write_fit(tmp_path / "s01_walk.fit", [file_id(), *calibration, *accel])
    with pytest.raises(UnitError, match=r"167 three_d_sensor_calibration") as caught:
        _read(path, settings)
    assert caught.value.where == str(path)
    words = {None: "none", "shift": "level shift"}
    assert words.get(absent, absent) in caught.value.got


def test_an_activity_without_sensor_messages_says_how_to_record_them(tmp_path: Path, settings: Settings) -> None:
    records = [(RECORD, [(253, "uint32", START_MS // 1000 + second), (3, "uint8", 90)]) for second in range(5)]
    path = write_fit(tmp_path / "s01_run.fit", [file_id(), *records])
    with pytest.raises(NotARecordingError) as caught:
        _read(path, settings)
    assert "5 record" in caught.value.got
    assert "SensorLogger" in caught.value.remedy


def test_a_gyroscope_with_other_stamps_is_interpolated(
    tmp_path: Path, settings: Settings, real: SampleRecording
) -> None:
    times = _times_ms(len(real.accel_g))
    accel = batches(ACCELEROMETER, times, real.accel_g, (5, 6, 7), "float32")
    # A straight line is what interpolation must return exactly, wherever its samples lie.
    slope = np.stack([np.arange(len(times)) * 0.5 + axis for axis in range(3)], axis=1)
    gyro = batches(GYROSCOPE, times + 7, slope, (5, 6, 7), "float32")
    found = _read(write_fit(tmp_path / "s01_walk.fit", [file_id(), *accel, *gyro]), settings)
    assert found.gyroscope is not None
    assert found.faults == {"samples without a matching sample of the other sensor, left out": 1}
    np.testing.assert_allclose(found.gyroscope.values, slope[1:] - 0.5 * 7 / 20, atol=1e-4)
    assert len(found.times_us) == len(times) - 1


def test_stamps_since_power_on_need_the_correlation_message(
    tmp_path: Path, settings: Settings, real: SampleRecording
) -> None:
    accel = batches(ACCELEROMETER, _times_ms(100, 5_000), real.accel_g[:100], (5, 6, 7), "float32")
    assert _read(write_fit(tmp_path / "s01_a.fit", [file_id(), *accel]), settings).clock == "device"
    correlation = (
        CORRELATION,
        [(253, "uint32", START_MS // 1000), (4, "uint16", 250), (1, "uint32", 4), (5, "uint16", 0)],
    )
    found = _read(write_fit(tmp_path / "s01_b.fit", [file_id(), correlation, *accel]), settings)
    assert found.clock == "utc"
    assert found.times_us[0] == round(START.timestamp() * 1e6) + 1_000_000


def test_a_damaged_file_is_refused(tmp_path: Path, settings: Settings, real: SampleRecording) -> None:
    accel = batches(ACCELEROMETER, _times_ms(100), real.accel_g[:100], (5, 6, 7), "float32")
    path = write_fit(tmp_path / "s01_walk.fit", [file_id(), *accel])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-40] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(NotARecordingError, match="checksum"):
        _read(path, settings)
    for cut in (10, 200, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(RecordingError):
            _read(path, settings)


def test_subject_and_activity_come_from_the_path_or_an_option(
    tmp_path: Path, settings: Settings, real: SampleRecording
) -> None:
    accel = batches(ACCELEROMETER, _times_ms(100), real.accel_g[:100], (5, 6, 7), "float32")
    path = write_fit(tmp_path / "anna" / "2024-ROW.fit", [file_id(), *accel])
    found = _read(path, settings, pattern="{subject}/{session}-{activity}.fit")
    assert (found.subject, found.session, found.labels) == ("anna", "2024", "ROW")
    assert _read(path, settings, subject="p1").subject == "p1"
    with pytest.raises(FileNameError, match="pattern"):
        _read(path, settings)
