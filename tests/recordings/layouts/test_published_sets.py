"""Each published layout, as its authors describe it, written from real samples with the faults it is known for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from har.errors import FileNameError, MalformedRowError, NotARecordingError, SettingsError
from har.recordings.layouts import RawRecording

G = 9.80665
ReadAll = Callable[..., list[RawRecording]]


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _table(values: np.ndarray, separator: str = " ") -> str:
    return "".join(separator.join(f"{value:.7e}" for value in row) + "\n" for row in values)


# --- MotionSense -----------------------------------------------------------------------------------------------------

_MS = ["attitude.roll", "attitude.pitch", "attitude.yaw", *(f"gravity.{a}" for a in "xyz")]
_MS += [*(f"rotationRate.{a}" for a in "xyz"), *(f"userAcceleration.{a}" for a in "xyz")]


def _motionsense(root: Path, signal: np.ndarray, name: str = "wlk_7/sub_12.csv") -> Path:
    gravity = np.tile([0.6, 0.0, 0.8], (len(signal), 1))
    values = np.hstack([np.zeros((len(signal), 3)), gravity, signal[:, 3:], signal[:, :3] - gravity])
    lines = [",".join(["", *_MS])]
    lines += [f"{row}," + ",".join(repr(float(value)) for value in line) for row, line in enumerate(values)]
    return _write(root / "A_DeviceMotion_data" / name, "\n".join(lines) + "\n")


def test_motionsense_adds_gravity_and_counts_samples(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    _motionsense(tmp_path, signal)
    _write(tmp_path / "B_Accelerometer_data/wlk_7/sub_12.csv", ",x,y,z\n0,1,2,3\n")
    (found,) = read_all("motionsense", tmp_path)
    assert (found.subject, found.session, found.labels, found.clock) == ("s12", "wlk_7", "wlk", "counted")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.accelerometer.unit, found.gyroscope.unit) == ("g", "rad/s")
    np.testing.assert_allclose(found.accelerometer.values, signal[:, :3], atol=1e-12)
    np.testing.assert_array_equal(found.gyroscope.values, signal[:, 3:])
    np.testing.assert_array_equal(found.times_us, np.arange(len(signal)) * 20_000)


def test_a_row_cut_short_leaves_a_gap_where_samples_are_counted(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    path = _motionsense(tmp_path, signal)
    lines = path.read_text().splitlines()
    lines[11] = "10,0.1,0.2;"
    lines[21] += ";"
    path.write_text("\n".join(lines))
    (found,) = read_all("motionsense", tmp_path)
    assert found.faults == {"rows cut short": 1, "rows with an extra separator at the end": 2}
    np.testing.assert_array_equal(found.times_us[9:11], [180_000, 220_000])
    assert len(found.times_us) == len(signal) - 1


def test_motionsense_refuses_other_folders(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    _motionsense(tmp_path, signal, "walking/sub_12.csv")
    with pytest.raises(FileNameError, match="<activity>_<trial>"):
        read_all("motionsense", tmp_path)


# --- smartphone and smartwatch ---------------------------------------------------------------------------------------


def _sp_sw(root: Path, signal: np.ndarray, name: str) -> Path:
    stamps = 1657534570154 + np.round(np.arange(len(signal)) * 9.6).astype(int)
    lines = ["x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label"]
    for values, stamp in zip(signal * [G, G, G, 1, 1, 1], stamps, strict=True):
        lines.append(",".join([*(repr(float(value)) for value in values), str(stamp), "SEATED"]))
    return _write(root / "DATA" / name[:3] / name, "\n".join(lines) + "\n")


def test_sp_sw_har_takes_the_device_that_is_asked_for(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    for name in ("s02_01_sw.csv", "s02_01_sp.csv"):
        _sp_sw(tmp_path, signal, name)
    (watch,) = read_all("sp-sw-har", tmp_path)
    assert (watch.subject, watch.session, watch.placement, watch.device) == ("s02", "01_sw", "wrist", "watch")
    assert watch.accelerometer is not None
    np.testing.assert_allclose(watch.accelerometer.values, signal[:, :3] * G)
    assert watch.times_us[0] == 1657534570154_000
    assert watch.clock == "utc"
    assert sorted(one.device for one in read_all("sp-sw-har", tmp_path, device="both")) == ["phone", "watch"]
    with pytest.raises(SettingsError, match="'clock'"):
        read_all("sp-sw-har", tmp_path, device="clock")


def test_sp_sw_har_counts_zero_stamps_and_missing_labels(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    path = _sp_sw(tmp_path, signal, "s02_01_sw.csv")
    lines = path.read_text().splitlines()
    for row in (5, 6):
        lines[row] = lines[row].replace(lines[row].split(",")[6], "0")
    for row in range(20, 30):
        lines[row] = lines[row].removesuffix("SEATED")
    path.write_text("\n".join(lines))
    (found,) = read_all("sp-sw-har", tmp_path)
    assert found.faults == {"rows with a zero stamp": 2}
    assert isinstance(found.labels, pl.Series)
    assert found.labels.null_count() == 10


# --- UCI HAPT --------------------------------------------------------------------------------------------------------


def _hapt(root: Path, signal: np.ndarray, labels: str) -> Path:
    folder = root / "RawData"
    _write(folder / "acc_exp03_user02.txt", _table(signal[:, :3]))
    _write(folder / "gyro_exp03_user02.txt", _table(signal[:, 3:]))
    return _write(folder / "labels.txt", labels)


def test_uci_hapt_labels_count_from_one_with_both_ends(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    _hapt(tmp_path, signal, "3 2 5 101 200\n3 2 7 201 300\n4 2 1 1 900\n3 9 1 1 900\n")
    (found,) = read_all("uci-hapt", tmp_path)
    assert (found.subject, found.session) == ("s02", "exp03")
    assert isinstance(found.labels, pl.Series)
    labels = found.labels.to_list()
    assert labels[99:101] == [None, "STANDING"]
    assert labels[199:201] == ["STANDING", "STAND_TO_SIT"]
    assert labels[299:301] == ["STAND_TO_SIT", None]
    assert found.accelerometer is not None
    np.testing.assert_allclose(found.accelerometer.values, signal[:, :3], rtol=1e-7)


def test_uci_hapt_matches_the_sensors_by_line_when_a_row_is_cut(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    _hapt(tmp_path, signal, "3 2 5 1 900\n")
    gyro = tmp_path / "RawData" / "gyro_exp03_user02.txt"
    lines = gyro.read_text().splitlines()
    lines[50] = "0.1 0.2"
    gyro.write_text("\n".join(lines))
    (found,) = read_all("uci-hapt", tmp_path)
    assert found.faults["rows cut short"] == 1
    assert found.gyroscope is not None
    np.testing.assert_allclose(found.gyroscope.values[50], signal[51, 3:], rtol=1e-7)
    np.testing.assert_array_equal(found.times_us[49:51], [980_000, 1_020_000])


def test_uci_hapt_needs_its_gyroscope_file(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    _hapt(tmp_path, signal, "3 2 5 1 900\n")
    (tmp_path / "RawData" / "gyro_exp03_user02.txt").unlink()
    with pytest.raises(NotARecordingError, match="gyro_exp03_user02"):
        read_all("uci-hapt", tmp_path)


# --- UCI HAR ---------------------------------------------------------------------------------------------------------


def _uci_har(root: Path, windows: np.ndarray, subjects: list[int], codes: list[int]) -> Path:
    folder = root / "UCI HAR Dataset" / "train"
    for channel, name in enumerate(f"{kind}_{axis}" for kind in ("total_acc", "body_gyro") for axis in "xyz"):
        _write(folder / "Inertial Signals" / f"{name}_train.txt", _table(windows[:, :, channel], "  "))
    _write(folder / "subject_train.txt", "".join(f"{one}\n" for one in subjects))
    return _write(folder / "y_train.txt", "".join(f"{one}\n" for one in codes))


def test_uci_har_joins_windows_that_overlap(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    signal = np.round(signal, 6)
    starts = [0, 64, 128, 400, 464]
    _uci_har(tmp_path, np.stack([signal[s : s + 128] for s in starts]), [1, 1, 1, 1, 3], [5, 5, 5, 2, 1])
    first, other = read_all("uci-har", tmp_path)
    assert (first.subject, first.session, other.subject) == ("s01", "train", "s03")
    assert first.accelerometer is not None and first.gyroscope is not None
    np.testing.assert_allclose(first.accelerometer.values, np.vstack([signal[:256, :3], signal[400:528, :3]]))
    np.testing.assert_allclose(first.gyroscope.values[:256], signal[:256, 3:])
    assert isinstance(first.labels, pl.Series)
    assert first.labels.to_list() == ["STANDING"] * 256 + ["WALKING_UPSTAIRS"] * 128
    np.testing.assert_array_equal(np.flatnonzero(np.diff(first.times_us) != 20_000), [255])
    assert first.faults == {"pauses of unknown length, set to 10 s": 1}
    assert len(other.times_us) == 128


def test_uci_har_refuses_a_cut_row(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    _uci_har(tmp_path, np.stack([signal[:128], signal[64:192]]), [1, 1], [5, 5])
    path = next(tmp_path.rglob("body_gyro_y_train.txt"))
    path.write_text(path.read_text()[:-40])
    with pytest.raises(MalformedRowError, match="body_gyro_y_train"):
        read_all("uci-har", tmp_path)


# --- WISDM -----------------------------------------------------------------------------------------------------------


def _lines(user: object, activity: str, stamps: np.ndarray, values: np.ndarray) -> list[str]:
    return [
        f"{user},{activity},{stamp}," + ",".join(f"{value:.6f}" for value in row) + ";"
        for stamp, row in zip(stamps.tolist(), values, strict=True)
    ]


def test_wisdm_2011_is_read_despite_its_known_faults(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    stamps = 49_105_962_326_000 + np.arange(200) * 50_000_000
    lines = _lines(33, "Jogging", stamps, signal[:200, :3] * G)
    lines[10] = lines[10].replace(";", ",;")
    lines[20] = "33,Jogging,491;"
    lines[30] = "577,,;"
    lines[40] = lines[40] + lines.pop(41)
    lines[50] = _lines(33, "Jogging", np.array([0]), signal[50:51, :3])[0]
    lines[60] = ""
    again = _lines(33, "Walking", stamps[:100] - 10**12, signal[:100, :3] * G)
    other = _lines(7, "Sitting", stamps[:100], signal[:100, :3] * G)
    _write(tmp_path / "WISDM_ar_v1.1_raw.txt", "\n".join([*lines, *again, *other]))
    found = read_all("wisdm", tmp_path)
    assert [(one.subject, one.session) for one in found] == [("u33", "run01"), ("u33", "run02"), ("u07", "run01")]
    first = found[0]
    assert first.faults == {
        "rows cut short": 2,
        "rows with a zero stamp": 1,
        "rows with an extra separator at the end": 2,
        "backward steps of the stamps, session split there": 1,
    }
    assert len(first.times_us) == 200 - 4
    assert first.gyroscope is None
    assert first.accelerometer is not None
    # Two rows in one line are two samples, and a comma before the semicolon costs none.
    assert {41, 42} <= set(((first.times_us - stamps[0] // 1000) // 50_000).tolist())
    np.testing.assert_allclose(first.accelerometer.values[10], signal[10, :3] * G, atol=1e-6)
    assert isinstance(found[1].labels, pl.Series)
    assert set(found[1].labels) == {"Walking"}


def test_wisdm_2019_interpolates_the_gyroscope(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    stamps = 252_207_666_810_000 + np.arange(100) * 50_000_000
    slope = np.stack([np.arange(100.0) + axis for axis in range(3)], axis=1)
    for code, shift in (("A", 0), ("S", 10**11)):
        for kind, late, values in (("accel", 0, signal[:100, :3] * G), ("gyro", 25_000_000, slope)):
            path = tmp_path / "raw" / "watch" / kind / f"data_1600_{kind}_watch.txt"
            old = path.read_text() if path.exists() else ""
            _write(path, old + "\n".join(_lines(1600, code, stamps + shift + late, values)) + "\n")
    (found,) = read_all("wisdm", tmp_path)
    assert (found.subject, found.session, found.device, found.clock) == ("1600", "watch", "watch", "device")
    assert isinstance(found.labels, pl.Series)
    assert found.labels.value_counts().sort("activity").rows() == [("folding", 99), ("walking", 99)]
    assert found.faults == {"samples without a matching sample of the other sensor, left out": 2}
    assert found.gyroscope is not None
    np.testing.assert_allclose(found.gyroscope.values[:99], slope[1:] - 0.5)
