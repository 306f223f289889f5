"""Text exports of Polar, Movella DOT, Shimmer and Movesense sensors, from real samples."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from held_support import table, written

from har.errors import NotARecordingError, RecordingTimeError, SettingsError, UnitError
from har.recordings.layouts import RawRecording

G = 9.80665
ReadAll = Callable[..., list[RawRecording]]
START = dt.datetime(2024, 6, 3, 8, 40, tzinfo=dt.UTC)
START_US = round(START.timestamp()) * 1_000_000


# --- Polar -----------------------------------------------------------------------------------------------------------


def _polar(signal: np.ndarray, *, unit: str = "mg", zone: str = "UTC", comma: bool = False) -> str:
    """One sensor's file: its clock was never set, and the phone hears of each packet 200 to 300 ms late."""
    sensor_ns = 599_616_050_941_733_632 + np.round(np.arange(len(signal)) * 1e9 / 52).astype(np.int64)
    late = dt.timedelta(milliseconds=200)
    wall = [
        (START + dt.timedelta(seconds=row / 52) + late + dt.timedelta(milliseconds=row % 36 * 2)).astimezone(
            ZoneInfo(zone)
        )
        for row in range(len(signal))
    ]
    phone = [one.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] for one in wall]
    axes = [[str(value).replace(".", "," if comma else ".") for value in column] for column in signal.T.tolist()]
    header = ["Phone timestamp", "sensor timestamp [ns]", *(f"{axis} [{unit}]" for axis in "XYZ")]
    return table(header, phone, sensor_ns, *axes, separator=";").replace(f"Z [{unit}]\n", f"Z [{unit}] \n")


@pytest.mark.parametrize("comma", [False, True])
def test_polar_has_the_sensors_intervals_and_the_phones_date(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, comma: bool
) -> None:
    accel, gyro = np.round(signal[:, :3] * 1000, 1), np.round(np.degrees(signal[:, 3:]), 3)
    name = "Polar_Sense_AABBCCDD_20240603_{}_{}.txt"
    written(tmp_path / name.format("104000", "ACC"), _polar(accel, zone="Europe/Vienna", comma=comma))
    written(tmp_path / name.format("104001", "GYRO"), _polar(gyro, unit="dps", comma=comma))
    written(tmp_path / name.format("104000", "HR"), "Phone timestamp;HR [bpm]\n2024-06-03T10:40:00.000;60\n")
    (found,) = read_all("polar", tmp_path, subject="anna", zone="Europe/Vienna")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.accelerometer.unit, found.gyroscope.unit, found.clock) == ("mg", "deg/s", "utc")
    assert (found.device, found.session) == ("polar-sense", "Polar_Sense_AABBCCDD_20240603_104000")
    np.testing.assert_array_equal(found.accelerometer.values, accel)
    np.testing.assert_array_equal(found.gyroscope.values, gyro)
    expected = START_US + 200_000 + np.round(np.arange(len(signal)) * 1e6 / 52)
    assert np.abs(found.times_us - expected).max() <= 1_000  # the phone's stamps are of whole ms
    assert np.diff(found.times_us).min() >= 19_230  # and the intervals are the sensor's


def test_polar_h10_has_no_gyroscope(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    path = written(tmp_path / "Polar_H10_1_20240603_ACC.txt", _polar(np.round(signal[:, :3] * 1000)))
    (found,) = read_all("polar", path, subject="anna")
    assert (found.gyroscope, found.device) == (None, "polar-h10")


def test_a_polar_gyroscope_alone_is_refused(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    written(tmp_path / "Polar_Sense_1_GYRO.txt", _polar(signal[:, 3:], unit="dps"))
    with pytest.raises(NotARecordingError, match="without an accelerometer"):
        read_all("polar", tmp_path, subject="anna")


def test_an_unknown_zone_is_refused_before_any_file_is_read(tmp_path: Path, read_all: ReadAll) -> None:
    with pytest.raises(SettingsError, match="Europe/Lisbon"):
        read_all("polar", tmp_path, subject="anna", zone="Middle/Earth")


def test_polar_stamps_that_a_spreadsheet_rewrote_are_refused(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    text = _polar(signal[:, :3]).replace("2024-06-03T", "03.06.2024 ")
    with pytest.raises(RecordingTimeError, match="phone timestamps"):
        read_all("polar", written(tmp_path / "a_ACC.txt", text), subject="anna")


# --- Movella DOT -----------------------------------------------------------------------------------------------------


def _dot(signal: np.ndarray, *, start: str = "2024-06-03_10:40:00_000 CEST", first: int = 2_268_972_329) -> str:
    ticks = (first + np.round(np.arange(len(signal)) * 1e6 / 60).astype(np.int64)) % (1 << 32)
    above = [
        "sep=,",
        "DeviceTag:,Left wrist",
        "OutputRate:,60Hz",
        *([f"StartTime: ,{start}"] if start else []),
        "© Movella",
        "",
    ]
    axes = [f"{sensor}_{axis}" for sensor in ("Acc", "Gyr") for axis in "XYZ"]
    columns = np.hstack([signal[:, :3] * G, np.degrees(signal[:, 3:])]).T
    header = ["PacketCounter", "SampleTimeFine", "Euler_X", *axes, "Status", ""]
    count = len(signal)
    return table(header, range(count), ticks, [0.1] * count, *columns, [0] * count, [""] * count, above=above)


def test_dot_goes_on_where_its_counter_starts_anew(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    path = written(tmp_path / "dot.csv", _dot(signal, first=(1 << 32) - 5_000_000))
    (found,) = read_all("movella-dot", path, subject="anna", zone="Europe/Vienna")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.accelerometer.unit, found.gyroscope.unit, found.device) == ("m/s^2", "deg/s", "Left wrist")
    np.testing.assert_array_equal(found.times_us, START_US + np.round(np.arange(len(signal)) * 1e6 / 60))
    np.testing.assert_array_equal(found.accelerometer.values, signal[:, :3] * G)
    np.testing.assert_array_equal(found.gyroscope.values, np.degrees(signal[:, 3:]))
    assert not found.faults


@pytest.mark.parametrize(
    ("start", "clock"),
    [("2024-06-03_08:40:00_000 UTC", "utc"), ("2024-06-03_10:40:00_000 GMT+02:00", "utc"), ("", "device")],
)
def test_dot_reads_a_named_offset_and_does_without_a_start(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, start: str, clock: str
) -> None:
    (found,) = read_all("movella-dot", written(tmp_path / "dot.csv", _dot(signal, start=start)), subject="anna")
    assert found.clock == clock
    assert found.times_us[0] == (START_US if start else 2_268_972_329)


def test_a_zone_that_only_has_an_abbreviation_is_asked_for(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    path = written(tmp_path / "dot.csv", _dot(signal))
    with pytest.raises(RecordingTimeError, match="CEST is no name of UTC") as caught:
        read_all("movella-dot", path, subject="anna")
    assert "-o zone=" in caught.value.remedy


def test_free_acceleration_alone_is_refused(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    text = _dot(signal).replace("Acc_", "FreeAcc_")
    with pytest.raises(NotARecordingError, match="Acc_X") as caught:
        read_all("movella-dot", written(tmp_path / "dot.csv", text), subject="anna")
    assert "no gravity" in caught.value.remedy


# --- Shimmer ---------------------------------------------------------------------------------------------------------


def _shimmer(signal: np.ndarray, *prefixes: str, separator: str = ";", stamps: str = "Timestamp_Unix_CAL") -> str:
    count = len(signal)
    ms = START_US / 1000 + np.arange(count) * 19.53125
    if "Formatted" in stamps:
        ms = [
            (START + dt.timedelta(milliseconds=row * 20)).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3] for row in range(count)
        ]
    names, units, columns = [], [], []
    for prefix in prefixes:
        names += [f"{prefix}_{stamps}"]
        units += ["yyyy/mm/dd hh:mm:ss.000" if "Formatted" in stamps else "ms"]
        columns += [ms]
        for kind, unit, values in (
            ("Accel_LN", "m/(s^2)", signal[:, :3] * G),
            ("Accel_WR", "m/(s^2)", signal[:, :3] * G + 1),
            ("Gyro", "deg/s", np.degrees(signal[:, 3:])),
        ):
            names += [f"{prefix}_{kind}_{axis}_CAL" for axis in "XYZ"]
            units += [unit] * 3
            columns += list(values.T)
    text = table([*names, ""], *columns, [""] * count, separator=separator)
    header, _, rows = text.partition("\n")
    return f'"sep={separator}"\n{header}\n{separator.join(units)}{separator}\n{rows}'


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_shimmer_reads_names_units_and_stamps(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, separator: str
) -> None:
    path = written(tmp_path / "a.csv", _shimmer(signal, "Shimmer_40AC", separator=separator))
    (found,) = read_all("shimmer", path, subject="anna")
    assert found.accelerometer is not None and found.gyroscope is not None
    assert (found.accelerometer.unit, found.gyroscope.unit, found.device) == ("m/s^2", "deg/s", "Shimmer-40AC")
    np.testing.assert_array_equal(found.accelerometer.values, signal[:, :3] * G)
    np.testing.assert_array_equal(found.gyroscope.values, np.degrees(signal[:, 3:]))
    assert np.abs(found.times_us - (START_US + np.arange(len(signal)) * 19_531.25)).max() <= 0.5
    assert not found.faults
    (wide,) = read_all("shimmer", path, subject="anna", accelerometer="wr")
    assert wide.accelerometer is not None
    np.testing.assert_array_equal(wide.accelerometer.values, signal[:, :3] * G + 1)


def test_several_shimmers_in_one_file_are_several_recordings(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    path = written(tmp_path / "a.csv", _shimmer(signal[:200], "RWrist", "LWrist"))
    assert [one.session for one in read_all("shimmer", path, subject="anna")] == ["a-RWrist", "a-LWrist"]


def test_formatted_stamps_are_local(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    path = written(tmp_path / "a.csv", _shimmer(signal, "S", stamps="Timestamp_FormattedUnix_CAL"))
    (found,) = read_all("shimmer", path, subject="anna", zone="Europe/Vienna")
    assert (found.times_us[0], found.clock) == (START_US - 7_200_000_000, "utc")
    (counted,) = read_all(
        "shimmer", written(tmp_path / "b.csv", _shimmer(signal, "S", stamps="Timestamp_CAL")), subject="a"
    )
    assert counted.clock == "device"


def test_shimmer_refuses_raw_counts_and_unknown_units(tmp_path: Path, signal: np.ndarray, read_all: ReadAll) -> None:
    raw = written(tmp_path / "a.csv", _shimmer(signal, "S").replace("_CAL", "_RAW"))
    with pytest.raises(NotARecordingError, match="raw counts") as caught:
        read_all("shimmer", raw, subject="anna")
    assert "CAL" in caught.value.remedy
    with pytest.raises(UnitError, match="furlongs"):
        text = _shimmer(signal, "S").replace("m/(s^2)", "furlongs")
        read_all("shimmer", written(tmp_path / "b.csv", text), subject="anna")


# --- Movesense -------------------------------------------------------------------------------------------------------

_PACKET = 4


def _packets(signal: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    """52 Hz in packets of four samples; stamps in whole ms."""
    parts = [signal[row : row + _PACKET] for row in range(0, len(signal) - _PACKET + 1, _PACKET)]
    return [round(158_319 + number * _PACKET * 1000 / 52) for number in range(len(parts))], parts


def _xyz(values: np.ndarray) -> list[dict[str, float]]:
    return [dict(zip("xyz", row, strict=True)) for row in values.tolist()]


def _expected(count: int) -> np.ndarray:
    return 158_319_000 + np.arange(count) * 1e6 / 52


def _check(found: RawRecording, signal: np.ndarray) -> None:
    assert found.accelerometer is not None and found.gyroscope is not None
    count = len(found.times_us)
    assert (found.accelerometer.unit, found.gyroscope.unit, found.clock) == ("m/s^2", "deg/s", "device")
    assert count >= len(signal) - _PACKET
    np.testing.assert_array_equal(found.accelerometer.values, signal[:count, :3] * G)
    np.testing.assert_allclose(found.gyroscope.values, np.degrees(signal[:count, 3:]), atol=1e-9)
    assert np.abs(found.times_us - _expected(count)).max() < 1_000


@pytest.mark.parametrize("lines", [False, True])
def test_movesense_json_of_logbook_and_stream(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll, lines: bool
) -> None:
    stamps, parts = _packets(signal)
    packets = [
        {"ArrayAcc": _xyz(part[:, :3] * G), "ArrayGyro": _xyz(np.degrees(part[:, 3:])), "Timestamp": stamp}
        for stamp, part in zip(stamps, parts, strict=True)
    ]
    text = json.dumps({"Meas": {"IMU6": packets}})
    if lines:
        text = "\n".join(json.dumps({"imu6": packet}) for packet in packets)
    (found,) = read_all("movesense", written(tmp_path / "log.json", text), subject="anna")
    _check(found, signal)
    assert not found.faults


@pytest.mark.parametrize("app", ["ios", "android", "both"])
def test_movesense_csv_of_both_apps(tmp_path: Path, signal: np.ndarray, read_all: ReadAll, app: str) -> None:
    stamps, parts = _packets(signal)
    values = np.concatenate(parts)
    accel, gyro = values[:, :3] * G, np.degrees(values[:, 3:])
    repeated = np.repeat(stamps, _PACKET)
    first = [str(stamp) if row % _PACKET == 0 else "" for row, stamp in enumerate(repeated)]
    if app == "ios":
        for name, columns in (("acc", accel), ("gyro", gyro)):
            written(tmp_path / f"2024-06-03_174630_{name}.csv", table(["timestamp", *"xyz"], first, *columns.T))
    elif app == "android":
        for name, unit, columns in (
            ("LinearAcceleration", "m/s^2", accel),
            ("AngularVelocity", "degree per second", gyro),
        ):
            header = ["Timestamp (ms)", *(f"{axis}: ({unit})" for axis in "XYZ")]
            written(tmp_path / f"20240603_{name}.csv", table(header, repeated, *columns.T))
    else:
        names = [f"{sensor}{axis}" for sensor in ("Acc", "Gyro", "Magn") for axis in "XYZ"]
        text = table(["Timestamp", *names], repeated, *accel.T, *gyro.T, *accel.T)
        written(tmp_path / "imu.csv", text)
    (found,) = read_all("movesense", tmp_path, subject="anna")
    _check(found, signal)
    assert found.session == {"ios": "2024-06-03_174630", "android": "20240603", "both": "imu"}[app]


def test_a_lost_packet_is_a_gap_and_a_broken_one_is_counted(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    stamps, parts = _packets(signal)
    packets: list[dict[str, object]] = [
        {"Timestamp": stamp, "ArrayAcc": _xyz(part[:, :3] * G)} for stamp, part in zip(stamps, parts, strict=True)
    ]
    packets[10]["ArrayAcc"] = [{"x": 1.0}]
    del packets[50]
    (found,) = read_all("movesense", written(tmp_path / "log.json", json.dumps(packets)), subject="anna")
    assert list(found.faults.values()) == [1]
    gaps = np.diff(found.times_us)
    assert (gaps > 80_000).sum() == 2
    assert np.abs(gaps[gaps < 80_000] - 1e6 / 52).max() < 1_000


def test_a_movesense_gyroscope_alone_and_a_cut_file_are_refused(
    tmp_path: Path, signal: np.ndarray, read_all: ReadAll
) -> None:
    header = ["Timestamp (ms)", *(f"{axis}: (degree per second)" for axis in "XYZ")]
    written(tmp_path / "a_AngularVelocity.csv", table(header, range(0, 1800, 2), *signal[:, 3:].T))
    with pytest.raises(NotARecordingError, match="gyroscope alone"):
        read_all("movesense", tmp_path, subject="anna")
    cut = written(tmp_path / "b.json", '{"acc": {"Timestamp": 1, "ArrayAcc": [{"x": 1')
    with pytest.raises(NotARecordingError, match="one JSON object a line"):
        read_all("movesense", cut, subject="anna")
