"""Exports that are cut, changed or emptied: each is read in part with the loss counted, or refused; nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from held_support import table, written, zipped

from har.errors import RecordingError
from har.recordings.layouts import Source, find_layout
from har.settings import Settings

START_MS = 1_717_404_000_000
Make = Callable[[np.ndarray], str]


def _sensor_logger(values: np.ndarray) -> str:
    header = ["time", "seconds_elapsed", *"xyz"]
    return table(header, (START_MS + np.arange(len(values)) * 20) * 1_000_000, [0.0] * len(values), *values[:, :3].T)


def _sensor_logger_json(values: np.ndarray) -> str:
    rows: list[dict[str, str]] = [{"sensor": "Metadata", "platform": "android"}]
    for name, columns in (("TotalAcceleration", values[:, :3]), ("Gyroscope", values[:, 3:])):
        for row, (x, y, z) in enumerate(columns.tolist()):
            stamp = str((START_MS + row * 20) * 1_000_000)
            rows.append({"sensor": name, "time": stamp, "seconds_elapsed": "0", "x": str(x), "y": str(y), "z": str(z)})
    return json.dumps(rows)


def _polar(values: np.ndarray) -> str:
    header = ["Phone timestamp", "sensor timestamp [ns]", *(f"{axis} [mg]" for axis in "XYZ")]
    count = len(values)
    phone = [f"2024-06-03T08:40:{row * 0.02:06.3f}" for row in range(count)]
    return table(header, phone, np.arange(count) * 20_000_000, *values[:, :3].T, separator=";")


def _dot(values: np.ndarray) -> str:
    header = ["PacketCounter", "SampleTimeFine", *(f"{sensor}_{axis}" for sensor in ("Acc", "Gyr") for axis in "XYZ")]
    count = len(values)
    above = ["sep=,", "StartTime: ,2024-06-03_08:40:00_000 UTC", ""]
    return table(header, range(count), np.arange(count) * 16_667, *values.T, above=above)


def _shimmer(values: np.ndarray) -> str:
    names = ["S_Timestamp_Unix_CAL", *(f"S_{kind}_{axis}_CAL" for kind in ("Accel_LN", "Gyro") for axis in "XYZ")]
    head, _, rows = table(names, START_MS + np.arange(len(values)) * 20, *values.T).partition("\n")
    return f"sep=,\n{head}\nms,m/(s^2),m/(s^2),m/(s^2),deg/s,deg/s,deg/s\n{rows}"


def _movesense(values: np.ndarray) -> str:
    def samples(part: np.ndarray) -> list[dict[str, float]]:
        return [dict(zip("xyz", row, strict=True)) for row in part.tolist()]

    parts = [values[row : row + 4] for row in range(0, len(values), 4)]
    packets = [
        {"Timestamp": number * 80, "ArrayAcc": samples(part[:, :3]), "ArrayGyro": samples(part[:, 3:])}
        for number, part in enumerate(parts)
    ]
    return json.dumps({"Meas": {"IMU6": packets}})


def _edge_impulse(values: np.ndarray) -> str:
    sensors = [{"name": f"acc{axis}", "units": "m/s2"} for axis in "XYZ"]
    payload = {"device_type": "x", "interval_ms": 20, "sensors": sensors, "values": values[:, :3].tolist()}
    return json.dumps({"protected": {"ver": "v1", "alg": "none"}, "signature": "0", "payload": payload})


def _e4(values: np.ndarray) -> str:
    counts = np.round(values[:, :3] * 64).astype(int).tolist()
    head = [", ".join(["1717404000.0"] * 3), ", ".join(["32.0"] * 3)]
    return "\n".join([*head, *(",".join(map(str, row)) for row in counts)]) + "\n"


FILES: dict[str, tuple[str, str, Make]] = {
    "sensor-logger": ("sensor-logger", "TotalAcceleration.csv", _sensor_logger),
    "sensor-logger json": ("sensor-logger", "a.json", _sensor_logger_json),
    "polar": ("polar", "a_ACC.txt", _polar),
    "movella-dot": ("movella-dot", "a.csv", _dot),
    "shimmer": ("shimmer", "a.csv", _shimmer),
    "movesense": ("movesense", "a.json", _movesense),
    "edge-impulse": ("edge-impulse", "walk.json", _edge_impulse),
    "empatica-e4": ("empatica-e4", "ACC.csv", _e4),
}


def _damaged(content: bytes, random: np.random.Generator) -> list[bytes]:
    """Cut anywhere, bytes changed, a line doubled or lost, numbers that are none."""
    cuts = [content[: int(place)] for place in random.integers(1, len(content), 4)]
    changed = []
    for _ in range(4):
        other = bytearray(content)
        for place in random.integers(0, len(other), 5):
            other[int(place)] = int(random.integers(32, 127))
        changed.append(bytes(other))
    lines = content.split(b"\n")
    middle = len(lines) // 2
    swapped = [content.replace(b"1", b"nan"), content.replace(b"0.", b""), content.replace(b",", b";")]
    longer = [b"\n".join([*lines[:middle], *lines[middle - 1 :]]), b"\n".join(lines[:1]), content * 2]
    return [*cuts, *changed, *swapped, *longer, b"{}", b"[]", b"null", b"[[[", b'{"payload": 1, "interval_ms": 2}']


@pytest.mark.parametrize("name", list(FILES))
def test_damage_is_refused_or_counted(tmp_path: Path, signal: np.ndarray, settings: Settings, name: str) -> None:
    layout_name, file, make = FILES[name]
    layout = find_layout(layout_name)
    random = np.random.default_rng(0)
    values = np.round(signal[:120], 4)
    beside = {"Metadata.csv": "platform\nandroid\n", "EDA.csv": "x"}
    whole = make(values)
    for number, content in enumerate([whole.encode(), *_damaged(whole.encode(), random)]):
        folder = tmp_path / str(number)
        if file.endswith((".csv", ".txt")) and layout.archives:
            path = zipped(folder / "a.zip", {**beside, file: content})
        else:
            path = written(folder / file, "")
            path.write_bytes(content)
        source = Source(path, {"subject": "anna"}, settings)
        try:
            found = [one for path in layout.find(source) for one in layout.read(path, source)]
        except RecordingError as error:
            assert number > 0, error
            assert error.where and error.remedy
            continue
        for one in found:
            assert one.accelerometer is not None
            assert len(one.times_us) == len(one.accelerometer.values)
            assert np.isfinite(one.accelerometer.values).all()
            assert number > 0 or len(one.times_us) == len(values)
