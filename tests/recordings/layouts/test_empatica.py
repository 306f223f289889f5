"""Sessions of Empatica E4, and Avro files of EmbracePlus with their published schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from held_support import written, zipped

from har.errors import EmptyRecordingError, MalformedRowError, NotARecordingError, UnitError
from har.recordings.layouts import RawRecording

ReadAll = Callable[..., list[RawRecording]]
START_US = 1_717_404_000_000_000
_IMU = {
    "type": "record",
    "name": "ImuParameters",
    "fields": [
        {"name": name, "type": ["null", "double"], "default": None}
        for name in ("physicalMin", "physicalMax", "digitalMin", "digitalMax", "conversionFactor")
    ],
}


def _axes(name: str, parameters: Any) -> dict[str, Any]:
    fields = [
        {"name": "timestampStart", "type": "long"},
        {"name": "samplingFrequency", "type": "float"},
        {"name": "imuParams", "type": parameters},
        *({"name": axis, "type": {"type": "array", "items": "int"}} for axis in "xyz"),
    ]
    return {"type": "record", "name": name, "fields": fields}


_SCHEMA = {
    "type": "record",
    "name": "empatica.format.avro.Session",
    "fields": [
        {
            "name": "rawData",
            "type": {
                "type": "record",
                "name": "RawData",
                "fields": [
                    {"name": "accelerometer", "type": _axes("Accelerometer", _IMU)},
                    {"name": "gyroscope", "type": _axes("Gyroscope", "ImuParameters")},
                ],
            },
        }
    ],
}


def _sensor(counts: np.ndarray, *, later_us: int = 0, rate_hz: float = 64.0, **parameters: float) -> dict[str, Any]:
    axes = {axis: column.tolist() for axis, column in zip("xyz", counts.T, strict=True)}
    start = START_US + later_us
    return {"timestampStart": start, "samplingFrequency": rate_hz, "imuParams": parameters, **axes}


_NONE = np.empty((0, 3), np.int64)


def _avro(path: Path, accelerometer: dict[str, Any], gyroscope: dict[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"rawData": {"accelerometer": accelerometer, "gyroscope": gyroscope or _sensor(_NONE, rate_hz=0.0)}}
    with path.open("wb") as file:
        fastavro.writer(file, _SCHEMA, [content], codec="deflate")
    return path


def _e4(counts: np.ndarray, start: str = "1717404000.500000") -> dict[str, str]:
    lines = [
        ", ".join([start] * 3),
        ", ".join(["32.000000"] * 3),
        *(",".join(map(str, row)) for row in counts.tolist()),
    ]
    return {
        "ACC.csv": "\n".join(lines) + "\n",
        "EDA.csv": "x",
        "info.txt": "y",
        "tags.csv": "1717404001.0\n1717404002.5\n",
    }


@pytest.mark.parametrize("form", ["zip", "folder", "file"])
def test_a_session_of_e4_is_read_from_its_zip_its_folder_or_its_file(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, form: str
) -> None:
    counts = np.round(signal[:, :3] * 64).astype(int)
    if form == "zip":
        path = zipped(tmp_path / "1717404000_A00204.zip", _e4(counts))
    else:
        path = tmp_path / "1717404000_A00204"
        for name, text in _e4(counts).items():
            written(path / name, text)
    (found,) = read_all("empatica-e4", path / "ACC.csv" if form == "file" else path, subject="anna")
    assert found.accelerometer is not None and found.gyroscope is None
    assert (found.session, found.clock, found.placement) == ("1717404000_A00204", "utc", "wrist")
    assert found.accelerometer.unit == "g"
    np.testing.assert_array_equal(found.accelerometer.values, counts / 64)
    np.testing.assert_array_equal(found.times_us, START_US + 500_000 + np.arange(len(counts)) * 31_250)
    assert list(found.faults.values()) == [2]  # the button was pressed twice


def test_a_row_that_is_cut_leaves_a_gap_in_time(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    entries = _e4(np.round(signal[:100, :3] * 64).astype(int))
    lines = entries["ACC.csv"].splitlines()
    lines[12] = "1,2"
    (found,) = read_all(
        "empatica-e4", zipped(tmp_path / "a.zip", {**entries, "ACC.csv": "\n".join(lines)}), subject="a"
    )
    assert found.faults["rows cut short"] == 1
    assert np.diff(found.times_us).tolist().count(62_500) == 1


def test_an_acc_file_without_start_and_rate_is_refused(tmp_path: Path, read_all: ReadAll) -> None:
    path = zipped(tmp_path / "a.zip", {"ACC.csv": "x,y,z\n1,2,3\n", "EDA.csv": "x"})
    with pytest.raises(MalformedRowError, match="start in seconds"):
        read_all("empatica-e4", path, subject="anna")
    with pytest.raises(NotARecordingError, match=r"ACC\.csv"):
        read_all("empatica-e4", zipped(tmp_path / "b.zip", {"EDA.csv": "x"}), subject="anna")


def test_both_versions_of_the_schema_give_the_same_values(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    counts = np.round(signal[:, :3] * 2048).astype(int)
    turned = np.round(np.degrees(signal[:, 3:]) * 16).astype(int)
    ranges = {"physicalMin": -16.0, "physicalMax": 16.0, "digitalMin": -32768.0, "digitalMax": 32768.0}
    _avro(
        tmp_path / "old" / "1-1-ANNA_1717404000.avro",
        _sensor(counts, **ranges),
        _sensor(turned, **{**ranges, "physicalMin": -2048.0, "physicalMax": 2048.0}),
    )
    _avro(
        tmp_path / "new" / "1-1-ANNA_1717404000.avro",
        _sensor(counts, conversionFactor=1 / 2048),
        _sensor(turned, conversionFactor=1 / 16),
    )
    (old,), (new,) = (read_all("embrace-plus", tmp_path / name) for name in ("old", "new"))
    for found in (old, new):
        assert (found.subject, found.session, found.clock) == ("1-1-ANNA", "1717404000", "utc")
        assert found.accelerometer is not None and found.gyroscope is not None
        assert (found.accelerometer.unit, found.gyroscope.unit) == ("g", "deg/s")
        np.testing.assert_array_equal(found.accelerometer.values, counts / 2048)
        np.testing.assert_array_equal(found.gyroscope.values, turned / 16)
        np.testing.assert_array_equal(found.times_us, START_US + np.arange(len(counts)) * 15_625)


def test_a_gyroscope_that_began_later_is_interpolated(tmp_path: Path, read_all: ReadAll) -> None:
    line = np.arange(300)[:, None] * [1, 2, 3]
    factor = {"conversionFactor": 1.0}
    _avro(tmp_path / "a_1.avro", _sensor(line, **factor), _sensor(line * 16, later_us=7_812, **factor))
    (found,) = read_all("embrace-plus", tmp_path)
    assert found.gyroscope is not None
    assert found.faults == {"samples without a matching sample of the other sensor, left out": 1}
    expected = (np.arange(1, 300)[:, None] - 7_812 / 15_625) * 16 * [1, 2, 3]
    np.testing.assert_allclose(found.gyroscope.values, expected, rtol=1e-9)


def test_a_wristband_without_gyroscope_or_without_samples(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    counts = np.round(signal[:, :3] * 2048).astype(int)
    (found,) = read_all("embrace-plus", _avro(tmp_path / "a_1.avro", _sensor(counts, conversionFactor=1.0)))
    assert found.gyroscope is None
    with pytest.raises(EmptyRecordingError, match="accelerometer"):
        read_all("embrace-plus", _avro(tmp_path / "a_2.avro", _sensor(_NONE, conversionFactor=1.0)))
    with pytest.raises(UnitError, match="conversionFactor"):
        read_all("embrace-plus", _avro(tmp_path / "a_3.avro", _sensor(counts)))


def test_a_damaged_avro_file_is_refused(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    counts = np.round(signal[:, :3] * 2048).astype(int)
    path = _avro(tmp_path / "a_1.avro", _sensor(counts, conversionFactor=1.0))
    whole = path.read_bytes()
    for cut in (2, 20, 400, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(NotARecordingError):
            read_all("embrace-plus", path)
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(changed))
    with pytest.raises(NotARecordingError):
        read_all("embrace-plus", path)


def test_without_fastavro_the_extra_is_named(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _avro(tmp_path / "a_1.avro", _sensor(np.ones((9, 3), int), conversionFactor=1.0))
    monkeypatch.setitem(__import__("sys").modules, "fastavro", None)
    with pytest.raises(ValueError, match=r"har-mlops\[devices\]"):
        read_all("embrace-plus", path)
