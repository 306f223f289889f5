"""Edge Impulse's data acquisition format, with the labels that Studio exports beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from har.errors import MissingColumnError, NotARecordingError, UnitError
from har.recordings.layouts import RawRecording

ReadAll = Callable[..., list[RawRecording]]
G = 9.80665


def _file(path: Path, signal: np.ndarray, **payload: Any) -> Path:
    sensors = [("accX", "m/s2"), ("accY", "m/s2"), ("accZ", "m/s2"), ("gyrX", "dps"), ("gyrY", "dps"), ("gyrZ", "dps")]
    content = {
        "protected": {"ver": "v1", "alg": "none", "iat": 1_717_404_000},
        "signature": "0" * 64,
        "payload": {
            "device_type": "NANO33BLE",
            "interval_ms": 20,
            "sensors": [{"name": name, "units": units} for name, units in sensors],
            "values": np.hstack([signal[:, :3] * G, np.degrees(signal[:, 3:])]).tolist(),
            **payload,
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _labels(folder: Path, *files: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "info.labels").write_text(json.dumps({"version": 1, "files": files}))


def test_values_units_and_the_label_in_the_name(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    _file(tmp_path / "training" / "PEN.3b1.json", signal)
    (found,) = read_all("edge-impulse", tmp_path, subject="anna")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.accelerometer.unit, found.gyroscope.unit) == ("m/s^2", "deg/s")
    assert (found.labels, found.device, found.session, found.clock) == ("PEN", "NANO33BLE", "PEN.3b1", "counted")
    np.testing.assert_array_equal(found.accelerometer.values, signal[:, :3] * G)
    np.testing.assert_array_equal(found.gyroscope.values, np.degrees(signal[:, 3:]))
    np.testing.assert_array_equal(found.times_us, np.arange(len(signal)) * 20_000)


@pytest.mark.parametrize("beside", [True, False])
def test_info_labels_beside_or_above_go_before_the_name(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, beside: bool
) -> None:
    _file(tmp_path / "training" / "x.1.json", signal)
    start = "2024-06-03T08:40:00.020001+00:00"
    entry = {
        "path": "x.1.json" if beside else "training/x.1.json",
        "label": {"type": "label", "label": "ROW"},
        "metadata": {"subject": "ben", "session": "a", "part": "7", "placement": "wrist", "start": start},
    }
    _labels(tmp_path / "training" if beside else tmp_path, entry)
    (found,) = read_all("edge-impulse", tmp_path)
    assert (found.labels, found.subject, found.session, found.placement) == ("ROW", "ben", "a-7", "wrist")
    assert (found.clock, found.times_us[0]) == ("utc", 1_717_404_000_020_001)


@pytest.mark.parametrize("unit", ["samples", "ms"])
def test_several_labels_in_samples_or_milliseconds(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, unit: str
) -> None:
    path = _file(tmp_path / "x.json", signal)
    spans = [(0, 99, "PEN"), (100, len(signal) - 1, "ROW")]
    if unit == "ms":
        spans = [(0, 1_999, "PEN"), (2_000, len(signal) * 20, "ROW")]
    labels = [{"startIndex": first, "endIndex": last, "label": label} for first, last, label in spans]
    _labels(tmp_path, {"path": "x.json", "label": {"type": "multi-label", "labels": labels}})
    (found,) = read_all("edge-impulse", path, subject="anna")
    assert isinstance(found.labels, pl.Series)
    assert found.labels.to_list() == ["PEN"] * 100 + ["ROW"] * (len(signal) - 100)
    (one,) = read_all("edge-impulse", path, subject="anna", activity="walk")
    assert one.labels == "walk"


def test_labels_that_end_elsewhere_are_refused(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    path = _file(tmp_path / "x.json", signal)
    labels = [{"startIndex": 0, "endIndex": 5_000, "label": "PEN"}]
    _labels(tmp_path, {"path": "x.json", "label": {"type": "multi-label", "labels": labels}})
    with pytest.raises(NotARecordingError, match="startIndex and endIndex"):
        read_all("edge-impulse", path, subject="anna")


def test_unlabelled_files_stay_unlabelled(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    path = _file(tmp_path / "unlabeled.1.json", signal)
    _labels(tmp_path, {"path": "unlabeled.1.json", "label": {"type": "unlabeled"}})
    assert read_all("edge-impulse", path, subject="anna")[0].labels is None


def test_rows_without_all_values_leave_a_gap(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    values: list[Any] = np.hstack([signal[:, :3], signal[:, 3:]]).tolist()
    values[10], values[20], values[30] = [1.0], None, [*values[30][:5], "n/a"]
    (found,) = read_all("edge-impulse", _file(tmp_path / "PEN.json", signal, values=values), subject="anna")
    assert sum(found.faults.values()) == 3
    assert np.flatnonzero(np.diff(found.times_us) == 40_000).tolist() == [9, 18, 27]


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"sensors": [{"name": f"acc{a}", "units": "furlong"} for a in "XYZ"]}, UnitError, "furlong"),
        ({"sensors": [{"name": f"gyr{a}", "units": "dps"} for a in "XYZ"]}, MissingColumnError, "accX"),
        ({"interval_ms": 0}, NotARecordingError, "interval"),
        ({"values": []}, NotARecordingError, "values"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, change: dict[str, Any], error: type[Exception], word: str
) -> None:
    three = {"values": signal[:, :3].tolist()} if "sensors" in change else {}
    with pytest.raises(error, match=word):
        read_all("edge-impulse", _file(tmp_path / "PEN.json", signal, **{**three, **change}), subject="anna")
    (tmp_path / "a.cbor").write_bytes(b"\xa3")
    with pytest.raises(NotARecordingError, match="CBOR"):
        read_all("edge-impulse", tmp_path / "a.cbor", subject="anna")
