"""Exports of the app Sensor Logger, written as its documentation describes them, from real samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from held_support import zipped as _zip
from sensor_logger_support import START_NS, iphone
from sensor_logger_support import signal as live_signal

from har.errors import FileNameError, NotARecordingError, RecordingTimeError, SettingsError
from har.recordings.layouts import RawRecording
from har.sample import sample_recordings
from har.streaming.envelope.formats import sensor_logger as live

G = 9.80665
ReadAll = Callable[..., list[RawRecording]]
IOS = "version,device name,recording time,platform,appVersion,standardisation\n3,Anna's iPhone,x,ios,1.63,false\n"
ANDROID = "version,device name,recording time,platform,appVersion,standardisation\n3,Pixel 8,x,android,1.63,false\n"
STANDARD = IOS.replace("false", "true")
Table = tuple[np.ndarray, np.ndarray]


def _stamps(count: int, *, rate_hz: float = 50.0, later_ns: int = 0) -> np.ndarray:
    return START_NS + later_ns + np.round(np.arange(count) * 1e9 / rate_hz).astype(np.int64)


def _csv(stamps_ns: np.ndarray, values: np.ndarray) -> str:
    seconds = (stamps_ns - START_NS) / 1e9
    lines = [
        f"{stamp},{second!r},{z!r},{y!r},{x!r}"
        for stamp, second, (x, y, z) in zip(stamps_ns.tolist(), seconds.tolist(), values.tolist(), strict=True)
    ]
    return "\n".join(["time,seconds_elapsed,z,y,x", *lines]) + "\n"


def _phone(signal: np.ndarray, metadata: str, *, sign: float = 1.0) -> dict[str, str]:
    """Accelerometer, gravity and gyroscope at stamps of their own; the gyroscope is twice as fast."""
    gravity = np.tile([0.6 * G, 0.0, 0.8 * G], (len(signal), 1))
    moved = signal[:, :3] * G - gravity
    at = np.arange(2 * len(signal)) / 2
    turned = np.stack([np.interp(at, np.arange(len(signal)), column) for column in signal[:, 3:].T], axis=1)
    return {
        "Metadata.csv": metadata,
        "Accelerometer.csv": _csv(_stamps(len(signal)), sign * moved),
        "Gravity.csv": _csv(_stamps(len(signal)), sign * gravity),
        "Gyroscope.csv": _csv(_stamps(len(turned), rate_hz=100.0), turned),
        "Orientation.csv": "time,seconds_elapsed,yaw\n",
    }


def _unpacked(folder: Path, entries: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in entries.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("metadata", "sign"), [(IOS, -1.0), (STANDARD, 1.0), (ANDROID, 1.0), (IOS.replace(",standardisation", ""), -1.0)]
)
@pytest.mark.parametrize("unpacked", [False, True])
def test_every_phone_comes_out_with_the_same_signs(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, metadata: str, sign: float, unpacked: bool
) -> None:
    entries = _phone(signal, metadata, sign=sign)
    write = _unpacked if unpacked else _zip
    write(tmp_path / "anna" / ("2024-06-03_08-40-00" if unpacked else "2024-06-03_08-40-00.zip"), entries)
    (found,) = read_all("sensor-logger", tmp_path, pattern="{subject}/*")
    assert (found.subject, found.session, found.clock) == ("anna", "2024-06-03_08-40-00", "utc")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.accelerometer.unit, found.gyroscope.unit) == ("m/s^2", "rad/s")
    np.testing.assert_allclose(found.accelerometer.values, signal[:, :3] * G, atol=1e-12)
    np.testing.assert_allclose(found.gyroscope.values, signal[:, 3:], atol=1e-12)
    np.testing.assert_array_equal(found.times_us, START_NS // 1000 + np.arange(len(signal)) * 20_000)
    assert not found.faults
    assert ["turned" in note for note in found.notes] == ([True] if sign < 0 else [])


def test_a_gyroscope_with_another_clock_is_brought_to_the_accelerometers(tmp_path: Path, read_all: ReadAll) -> None:
    one = max(sample_recordings(), key=lambda recording: len(recording.accel_g))
    signal = np.hstack([one.accel_g, one.gyro_rad_s])
    stamps = _stamps(len(signal))
    entries = {"Metadata.csv": ANDROID, "TotalAcceleration.csv": _csv(stamps, signal[:, :3] * G)}
    late = {**entries, "Gyroscope.csv": _csv(stamps + 600_000_000, signal[:, 3:])}
    (found,) = read_all("sensor-logger", _zip(tmp_path / "a.zip", late), subject="anna")
    assert found.gyroscope is not None
    (note,) = found.notes
    assert float(note.split("moved by ")[1].split(" s")[0]) == pytest.approx(-0.6, abs=0.02)
    rows = np.searchsorted(stamps // 1000, found.times_us)
    assert np.corrcoef(found.gyroscope.values[:, 0], signal[rows, 3])[0, 1] > 0.95
    (as_it_is,) = read_all("sensor-logger", tmp_path / "a.zip", subject="anna", **{"max-offset": "0"})
    assert as_it_is.notes == () and len(as_it_is.times_us) == len(signal) - 30
    with pytest.raises(RecordingTimeError, match="clocks of the two sensors") as caught:
        read_all("sensor-logger", tmp_path / "a.zip", subject="anna", **{"max-offset": "0.3"})
    assert "-o max-offset=" in caught.value.remedy


def test_a_file_of_an_unpacked_folder_stands_for_the_folder(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    folder = _unpacked(tmp_path / "walk", _phone(signal, ANDROID))
    (found,) = read_all("sensor-logger", folder / "Gyroscope.csv", subject="anna", activity="WALK")
    assert (found.session, found.labels, found.device) == ("walk", "WALK", "android-phone")


def test_total_acceleration_is_taken_where_it_is(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    entries = _phone(signal, ANDROID)
    entries["TotalAcceleration.csv"] = _csv(_stamps(len(signal), later_ns=4_000_400), signal[:, :3] * G)
    (found,) = read_all("sensor-logger", _zip(tmp_path / "a.zip", entries), subject="anna")
    assert found.accelerometer is not None
    np.testing.assert_allclose(found.accelerometer.values, signal[:, :3] * G, atol=1e-12)
    assert found.times_us[0] == START_NS // 1000 + 4_000  # 4,000.4 µs


def test_stamps_keep_every_microsecond(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    stamps = _stamps(len(signal)) + np.arange(len(signal)) * 1_000  # beyond what float64 holds of ns
    entries = {"Metadata.csv": ANDROID, "TotalAcceleration.csv": _csv(stamps, signal[:, :3] * G)}
    (found,) = read_all("sensor-logger", _zip(tmp_path / "a.zip", entries), subject="anna")
    np.testing.assert_array_equal(found.times_us, stamps // 1000)


@pytest.mark.parametrize("raw", [True, False])
def test_a_watch_tells_by_its_unit_whether_it_was_standardised(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, raw: bool
) -> None:
    gravity = np.tile([0.0, 0.6, 0.8], (len(signal), 1))
    factor = -1.0 if raw else G
    rows = np.hstack([(signal[:, :3] - gravity) * factor, gravity * factor, signal[:, 3:]])
    names = [f"{kind}{axis}" for kind in ("acceleration", "gravity", "rotationRate") for axis in "XYZ"]
    lines = [",".join(["time", "seconds_elapsed", *names])]
    for stamp, row in zip(_stamps(len(rows)).tolist(), rows.tolist(), strict=True):
        lines.append(f"{stamp},0.0," + ",".join(map(repr, row)))
    entries = {"Metadata.csv": IOS, "WristMotion.csv": "\n".join(lines) + "\n"}
    (found,) = read_all("sensor-logger", _zip(tmp_path / "a.zip", entries), subject="anna")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.placement, found.device, found.accelerometer.unit) == ("wrist", "watch", "g" if raw else "m/s^2")
    in_g = found.accelerometer.values / (1.0 if raw else G)
    np.testing.assert_allclose(in_g, signal[:, :3], atol=1e-12)
    np.testing.assert_allclose(found.gyroscope.values, signal[:, 3:])


def test_phone_and_watch_of_one_recording_are_two(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    names = [f"{kind}{axis}" for kind in ("acceleration", "gravity", "rotationRate") for axis in "XYZ"]
    row = ["0.0", "0.0", "0.2", "0.0", "0.0", str(G), "0.1", "0.2", "0.3"]
    lines = [",".join(["time", *names]), *(",".join([str(stamp), *row]) for stamp in _stamps(100).tolist())]
    entries = {**_phone(signal, STANDARD), "WristMotion.csv": "\n".join(lines) + "\n"}
    path = _zip(tmp_path / "a.zip", entries)
    assert [one.session for one in read_all("sensor-logger", path, subject="anna")] == ["a"]
    both = read_all("sensor-logger", path, subject="anna", device="both")
    assert [(one.session, one.placement) for one in both] == [("a", ""), ("a-watch", "wrist")]


def test_json_holds_the_same_as_the_zip(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    entries = _phone(signal[:200], IOS, sign=-1.0)
    rows: list[dict[str, str]] = [{"sensor": "Metadata", "platform": "ios", "standardisation": "false"}]
    for name in ("Accelerometer", "Gravity", "Gyroscope"):
        header, *lines = entries[f"{name}.csv"].splitlines()
        rows += [{"sensor": name, **dict(zip(header.split(","), line.split(","), strict=True))} for line in lines]
    rows.append({"sensor": "Location", "time": "1", "seconds_elapsed": "1.3", "speed": "0"})
    path = tmp_path / "anna.json"
    path.write_text(json.dumps(rows))
    (of_json,) = read_all("sensor-logger", path, subject="anna")
    (of_zip,) = read_all("sensor-logger", _zip(tmp_path / "b.zip", entries), subject="anna")
    np.testing.assert_array_equal(of_json.times_us, of_zip.times_us)
    assert of_json.accelerometer is not None and of_zip.accelerometer is not None
    assert of_json.gyroscope is not None and of_zip.gyroscope is not None
    np.testing.assert_array_equal(of_json.accelerometer.values, of_zip.accelerometer.values)
    np.testing.assert_array_equal(of_json.gyroscope.values, of_zip.gyroscope.values)


def test_a_recording_and_the_live_messages_of_a_phone_agree(tmp_path: Path, read_all: ReadAll) -> None:
    message = live.read(iphone(0.0, 2.0))
    at = np.arange(200) / 100
    total, gravity = live_signal(at)[0], np.broadcast_to([0.0, 0.0, G], (200, 3))
    stamps = START_NS + np.round(at * 1e9).astype(np.int64)
    entries = {
        "Metadata.csv": STANDARD,
        "Accelerometer.csv": _csv(stamps, total - gravity),
        "Gravity.csv": _csv(stamps + 300_000, gravity),
        "Gyroscope.csv": _csv(stamps + 2_100_000, live_signal(at + 0.0021)[1]),
    }
    (found,) = read_all("sensor-logger", _zip(tmp_path / "a.zip", entries), subject="anna")
    assert found.accelerometer is not None and found.gyroscope is not None
    # The first sample has no gravity before it: the message holds its value, a recording leaves the sample out.
    assert found.faults == {"samples without a matching sample of the other sensor, left out": 1}
    assert found.times_us[0] == message.t0 + 10_000
    np.testing.assert_allclose(found.accelerometer.values, message.samples[1:, :3], atol=1e-9)
    np.testing.assert_allclose(found.gyroscope.values, message.samples[1:, 3:], atol=1e-3)


def test_annotations_become_labels_if_asked_for(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    stamps = _stamps(len(signal))
    marks = f"time,seconds_elapsed,text\n{stamps[100]},2.0,PEN\n{stamps[300] - 1},6.0,ROW\n"
    entries = {**_phone(signal, ANDROID), "Annotation.csv": marks}
    path = _zip(tmp_path / "a.zip", entries)
    assert read_all("sensor-logger", path, subject="anna")[0].labels is None
    labels = read_all("sensor-logger", path, subject="anna", labels="annotations")[0].labels
    assert labels is not None and not isinstance(labels, str)
    assert labels.to_list() == [None] * 100 + ["PEN"] * 200 + ["ROW"] * (len(signal) - 300)


def test_rows_cut_short_are_counted(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    entries = _phone(signal, ANDROID)
    lines = entries["Accelerometer.csv"].splitlines()
    entries["Accelerometer.csv"] = "\n".join([*lines[:-1], lines[-1][:30]])
    (found,) = read_all("sensor-logger", _zip(tmp_path / "a.zip", entries), subject="anna")
    assert found.faults == {"rows cut short": 1}
    assert len(found.times_us) == len(signal) - 1


def test_acceleration_without_gravity_is_refused(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    entries = _phone(signal, IOS)
    del entries["Gravity.csv"]
    with pytest.raises(NotARecordingError, match="with gravity") as caught:
        read_all("sensor-logger", _zip(tmp_path / "a.zip", entries), subject="anna")
    assert "switch on Gravity" in caught.value.remedy


def test_without_a_platform_the_sign_is_asked_for(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    entries = _phone(signal, IOS, sign=-1.0)
    del entries["Metadata.csv"]
    path = _zip(tmp_path / "a.zip", entries)
    with pytest.raises(NotARecordingError, match="opposite sign") as caught:
        read_all("sensor-logger", path, subject="anna")
    assert "-o platform=ios" in caught.value.remedy
    (found,) = read_all("sensor-logger", path, subject="anna", platform="ios")
    assert found.accelerometer is not None
    np.testing.assert_allclose(found.accelerometer.values, signal[:, :3] * G, atol=1e-12)


def test_the_subject_is_asked_for(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    path = _zip(tmp_path / "2024-06-03_08-40-00.zip", _phone(signal, ANDROID))
    with pytest.raises(FileNameError, match="who wore") as caught:
        read_all("sensor-logger", path)
    assert "-o subject=anna" in caught.value.remedy
    with pytest.raises(SettingsError, match="platform"):
        read_all("sensor-logger", path, subject="anna", platform="windows")


def test_a_zip_of_zips_and_a_zip_of_something_else_are_told_apart(tmp_path: Path, read_all: ReadAll) -> None:
    with pytest.raises(NotARecordingError, match="TotalAcceleration") as caught:
        read_all("sensor-logger", _zip(tmp_path / "a.zip", {"one.zip": "x"}), subject="anna")
    assert "archive of archives" in caught.value.remedy


def test_several_recordings_of_one_archive_have_names(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    photos = {**_phone(signal[:100], ANDROID), "Camera/1.jpg": "x"}
    assert read_all("sensor-logger", _zip(tmp_path / "photos.zip", photos), subject="anna")[0].session == "photos"
    files = {
        f"{day}/{name}": text for day in ("monday", "tuesday") for name, text in _phone(signal[:100], ANDROID).items()
    }
    found = read_all("sensor-logger", _zip(tmp_path / "week.zip", files), subject="anna")
    assert [one.session for one in found] == ["week-monday", "week-tuesday"]
