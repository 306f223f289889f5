"""Exports of apps and devices as people hand them to `har import`: the wrong layout, the wrong archive, no layout."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from held_support import table, written, zipped
from import_support import Look
from typer.testing import CliRunner

from har.errors import NotARecordingError, SettingsError
from har.importing._exports import EXPORTS
from har.recordings.layouts import find_layout
from har.recordings.layouts._held import bundle
from har.recordings.layouts._recognise import recognisers
from har_cli._app import app

G = 9.80665
START_US = 1_717_404_000_000_000


def _stamps_ns(count: int) -> np.ndarray:
    return (START_US + np.arange(count) * 20_000) * 1_000


def _logger(signal: np.ndarray) -> dict[str, str]:
    """Sensor Logger on Android; the two sensors have stamps of their own."""
    accel, gyro = signal[:, :3] * G, signal[:, 3:]
    header = ["time", "seconds_elapsed", *"xyz"]
    at = np.arange(len(signal)) / 50
    return {
        "Metadata.csv": "platform,standardisation\nandroid,false\n",
        "TotalAcceleration.csv": table(header, _stamps_ns(len(signal)), at, *accel.T),
        "Gyroscope.csv": table(header, _stamps_ns(len(signal)) + 7_000_000, at + 0.007, *gyro.T),
    }


def _e4(signal: np.ndarray) -> dict[str, str]:
    counts = np.round(signal[:, :3] * 64).astype(int)
    start = f"{START_US // 1_000_000}.000000"
    above = [", ".join([start] * 3), ", ".join(["32.000000"] * 3)]
    return {"ACC.csv": "\n".join([*above, *(",".join(map(str, row)) for row in counts.tolist())]), "BVP.csv": "1"}


def _dot(signal: np.ndarray) -> str:
    axes = [f"{sensor}_{axis}" for sensor in ("Acc", "Gyr") for axis in "XYZ"]
    columns = np.hstack([signal[:, :3] * G, np.degrees(signal[:, 3:])]).T
    ticks = 1_000 + np.arange(len(signal)) * 16_667
    return table(["PacketCounter", "SampleTimeFine", *axes], range(len(signal)), ticks, *columns)


def _data(tmp_path: Path) -> Path:
    return tmp_path / "data"


Write = Callable[[Path, np.ndarray], object]
FILES: dict[str, Write] = {
    "sensor-logger": lambda folder, signal: zipped(folder / "a.zip", _logger(signal)),
    "empatica-e4": lambda folder, signal: zipped(folder / "a.zip", _e4(signal)),
    "movella-dot": lambda folder, signal: written(folder / "a.csv", _dot(signal)),
}


def test_an_app_recording_is_taken_by_ingest(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    FILES["sensor-logger"](_data(tmp_path) / "anna", signal)
    result = look("sensor-logger", options={"pattern": "{subject}/*", "activity": "PEN"})
    assert (result.refused, result.passed) == ([], [])
    (staged,) = result.staged
    assert (staged.file.subject, staged.file.session, str(staged.file.date)) == ("anna", "a", "2024-06-03")
    assert staged.sensors == {"accelerometer": "m/s^2", "gyroscope": "rad/s"}
    assert result.faults["samples without a matching sample of the other sensor, left out"] == 1
    frame = pl.read_parquet(staged.file.path)
    np.testing.assert_allclose(frame["accel_x"], signal[1:, 0], rtol=1e-5)
    expected = signal[:-1, 3] + (signal[1:, 3] - signal[:-1, 3]) * 13 / 20  # 13 of 20 ms between two samples
    np.testing.assert_allclose(frame["gyro_x"], expected, rtol=1e-4, atol=1e-5)


GIVEN = ("csv", "parquet", "garmin-fit", "polar", "sensor-logger", "empatica-e4", "movesense")


@pytest.mark.parametrize(("given", "right"), [(one, other) for one in GIVEN for other in FILES if one != other])
def test_the_message_names_the_right_layout(
    tmp_path: Path, signal: np.ndarray, settings: object, given: str, right: str
) -> None:
    FILES[right](_data(tmp_path), signal)
    (file,) = _data(tmp_path).iterdir()
    result = _survey(tmp_path, file, given, settings)
    assert f"har import {right}`" in str(result.refused[0].error)  # type: ignore[attr-defined]


def _survey(tmp_path: Path, file: Path, layout: str, settings: object) -> object:
    from har.importing import survey

    staging = tmp_path / "staging" / layout
    staging.mkdir(parents=True)
    options = {"subject": "anna"} if layout not in ("csv", "parquet") else {"subject-is": "anna"}
    return survey(find_layout(layout), file, settings, staging, options=options)  # type: ignore[arg-type]


def test_auto_reads_each_file_by_its_own_reader(tmp_path: Path, signal: np.ndarray, look: Look, change: object) -> None:
    for number, (name, write) in enumerate(FILES.items()):
        write(_data(tmp_path) / f"p{number}" / name, signal)
    written(_data(tmp_path) / "notes.txt", "nothing")
    result = look("auto", options={"pattern": "{subject}/*/*"})
    read = {one.file.subject: one.device for one in result.staged}
    assert read == {"p0": "android-phone", "p2": "movella-dot"}
    assert len(result.refused) == 1  # the project needs a gyroscope, which an E4 has not
    assert "gyroscope" in str(result.refused[0].error)
    assert [str(one) for one in result.passed] == ["1 .txt file (notes.txt)"]


def test_auto_says_which_layouts_it_knows(tmp_path: Path, look: Look) -> None:
    written(_data(tmp_path), "a,b\n1,2\n")
    result = look("auto", options={"subject": "anna"})
    text = str(result.refused[0].error)
    assert all(one.name in text for one in recognisers()) and "har import csv" in text


def test_what_was_passed_over_is_named_by_its_layout(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    FILES["sensor-logger"](_data(tmp_path), signal)
    FILES["movella-dot"](_data(tmp_path), signal)
    written(_data(tmp_path) / "settings.json", "{}")
    result = look("sensor-logger", options={"subject": "anna"})
    assert [str(one) for one in result.passed] == [
        "1 .csv file (a.csv): see `har import movella-dot`",
        "1 .json file (settings.json)",
    ]


# --- Exports of health apps ------------------------------------------------------------------------------------------

HEALTH: dict[str, tuple[str, str]] = {
    "Apple Health": ("apple_health_export/export.xml", '<?xml version="1.0"?>\n<!DOCTYPE HealthData [\n<HealthData>'),
    "Fitbit": ("Takeout/Fitbit/Global Export Data/steps-2024-05-06.json", '[{"dateTime" : "05/06/24 00:00:00"}]'),
    "WHOOP": ("my_whoop_data/physiological_cycles.csv", "Cycle start time,Cycle end time,Cycle timezone\n"),
    "Samsung Health": ("samsunghealth/com.samsung.shealth.step_daily_trend.2024.csv", "com.samsung.shealth.step,1\n"),
    "Oura": ("oura_2024/dailyreadiness.csv", "date,Sleep Score\n"),
    "Google Fit": ("Takeout/Fit/Daily activity metrics/2024-05-06.csv", "Start time,End time,Move Minutes\n"),
    "Polar Flow": ("training-session-2024-05-06-123.json", '{"exportVersion" : "1.6"}'),
    "Garmin Connect": ("DI_CONNECT/DI-Connect-Wellness/sleep.json", "[]"),
}


def test_every_export_is_tried() -> None:
    assert set(HEALTH) == {one.name for one in EXPORTS}


@pytest.mark.parametrize("name", list(HEALTH))
@pytest.mark.parametrize("form", ["zip", "folder"])
@pytest.mark.parametrize("layout", ["csv", "sensor-logger", "auto"])
def test_an_export_without_samples_is_refused_by_name(
    tmp_path: Path, settings: object, name: str, form: str, layout: str
) -> None:
    place, content = HEALTH[name]
    path = _data(tmp_path)
    if form == "zip":
        path = zipped(path / "export.zip", {place: content})
    else:
        written(path / place, content)
    with pytest.raises(NotARecordingError) as caught:
        raise _survey(tmp_path, path, layout, settings).refused[0].error  # type: ignore[attr-defined]
    assert f"an export of {name}, which holds" in caught.value.got
    assert "no raw samples" in caught.value.got
    assert "har import" in caught.value.remedy


def test_the_command_says_what_to_use_instead(tmp_path: Path, project: Path) -> None:
    path = zipped(tmp_path / "export.zip", {"apple_health_export/export.xml": "<HealthData>"})
    done = CliRunner().invoke(app, ["import", "csv", str(path)])
    assert done.exit_code != 0
    assert "an export of Apple Health" in done.output and "Sensor Logger" in done.output


def test_a_recording_in_a_folder_of_that_name_is_no_export(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    FILES["sensor-logger"](_data(tmp_path) / "Takeout" / "Fit", signal)
    assert len(look("sensor-logger", options={"subject": "anna"}).staged) == 1


# --- Archives --------------------------------------------------------------------------------------------------------


def _refusal(tmp_path: Path, settings: object, layout: str = "sensor-logger") -> NotARecordingError:
    result = _survey(tmp_path, _data(tmp_path), layout, settings)
    (refused,) = result.refused  # type: ignore[attr-defined]
    assert isinstance(refused.error, NotARecordingError)
    return refused.error


def test_an_entry_that_claims_too_much_is_never_unpacked(tmp_path: Path, signal: np.ndarray, settings: object) -> None:
    zeros = "time,seconds_elapsed,x,y,z\n" + "0" * (80 << 20)
    path = zipped(_data(tmp_path) / "a.zip", {**_logger(signal[:50]), "TotalAcceleration.csv": zeros})
    assert path.stat().st_size < 1 << 20
    assert "shrink" in _refusal(tmp_path, settings).expected


@pytest.mark.parametrize("name", ["../TotalAcceleration.csv", "/etc/TotalAcceleration.csv", "C:\\a\\Gyroscope.csv"])
def test_names_that_lead_out_are_refused(tmp_path: Path, signal: np.ndarray, settings: object, name: str) -> None:
    zipped(_data(tmp_path) / "a.zip", {**_logger(signal[:50]), name: "x"})
    assert "stay within" in _refusal(tmp_path, settings).expected


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path, signal: np.ndarray, settings: object) -> None:
    path = zipped(_data(tmp_path) / "a.zip", _logger(signal[:50]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("gyroscope.CSV", "time\n")
    assert "one file of each name" in _refusal(tmp_path, settings).expected


def test_too_many_entries_are_refused(
    tmp_path: Path, signal: np.ndarray, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MOST_ENTRIES", 2)
    zipped(_data(tmp_path) / "a.zip", _logger(signal[:50]))
    assert "at most 2 files" in _refusal(tmp_path, settings).expected


def test_an_encrypted_archive_is_named(tmp_path: Path, signal: np.ndarray, settings: object) -> None:
    path = zipped(_data(tmp_path) / "a.zip", _logger(signal[:50]))
    content = bytearray(path.read_bytes())
    for found in re.finditer(b"PK\x01\x02", bytes(content)):
        struct.pack_into("<H", content, found.start() + 8, 1)
    path.write_bytes(bytes(content))
    assert "password" in _refusal(tmp_path, settings).expected


def test_a_damaged_archive_is_refused_wherever_it_is_cut(tmp_path: Path, signal: np.ndarray, settings: object) -> None:
    path = zipped(_data(tmp_path) / "a.zip", _logger(signal))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 3] ^= 0xFF
    for number, content in enumerate((whole[: len(whole) // 2], whole[:-10], bytes(changed))):
        path.write_bytes(content)
        error = _survey_of(tmp_path, settings, number)
        assert isinstance(error, (NotARecordingError, SettingsError))


def _survey_of(tmp_path: Path, settings: object, number: int) -> Exception:
    from har.importing import survey

    staging = tmp_path / f"cut{number}"
    staging.mkdir()
    options = {"subject": "anna"}
    result = survey(find_layout("sensor-logger"), _data(tmp_path), settings, staging, options=options)  # type: ignore[arg-type]
    assert not result.staged
    return result.refused[0].error


def test_the_other_layouts_still_open_no_archive(tmp_path: Path, settings: object) -> None:
    zipped(_data(tmp_path) / "a.csv", {"a.csv": "x"})
    assert "zip archive" in _refusal(tmp_path, settings, "csv").got
