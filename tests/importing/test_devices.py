"""`har import` of research accelerometers: what lands in the inbox, and what is said about files that do not."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from devices_support import cwa_blocks, cwa_header, microseconds, write_actilife, write_bin, write_cwa, write_gt3x

from har.errors import SettingsError
from har.importing import Survey, survey, write
from har.recordings import read_recording
from har.recordings.layouts import find_layout
from har.recordings.layouts._devices import gt3x
from har.settings import Settings


@pytest.fixture
def without_gyroscope(settings: Settings) -> Settings:
    """The project's settings with an accelerometer only, of ±8 g."""
    content = settings.model_dump()
    content["sensors"]["gyroscope"] = None
    content["sensors"]["accelerometer"]["full_scale"] = 8.0
    return Settings(**content, root=settings.root)


@pytest.fixture
def minute(signal: np.ndarray) -> np.ndarray:
    """Accelerations in g, float64 (6000, 3)."""
    return np.tile(signal[:, :3], (7, 1))[:6000]


def _survey(layout: str, path: Path, settings: Settings, **options: str) -> Survey:
    staging = settings.root / "staging" / str(len(list((settings.root / "staging").glob("*"))))
    staging.mkdir(parents=True)
    return survey(find_layout(layout), path, settings, staging, options=options)


def test_two_devices_of_one_subject_lie_beside_each_other(
    tmp_path: Path, minute: np.ndarray, without_gyroscope: Settings
) -> None:
    write_gt3x(tmp_path / "data" / "p01_hip.gt3x", minute, info={"Limb": "Waist"})
    write_cwa(tmp_path / "data" / "p01_wrist.cwa", minute, note="_p=left+wrist")
    for layout, suffix, other in (("actigraph", ".cwa", "axivity"), ("axivity", ".gt3x", "actigraph")):
        found = _survey(layout, tmp_path / "data", without_gyroscope)
        assert not found.refused
        (passed,) = found.passed
        assert (passed.what, passed.hint) == (f"{suffix} files", f"see `har import {other}`")
        assert write(found, without_gyroscope.path("inbox")).new == 1
    folder = without_gyroscope.path("inbox") / "2024-05-06"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["p01_p01_hip.MOS2E00000000.parquet", "p01_p01_wrist.39434.parquet"]
    again = _survey("axivity", tmp_path / "data", without_gyroscope)
    assert write(again, without_gyroscope.path("inbox")).present == 1


def test_values_of_the_inbox_file_are_those_of_the_device(
    tmp_path: Path, minute: np.ndarray, without_gyroscope: Settings
) -> None:
    write_bin(tmp_path / "data" / "p01.bin", minute, rate_hz=50, place="Left Wrist")
    (staged,) = _survey("geneactiv", tmp_path / "data", without_gyroscope).staged
    recording = read_recording(staged.file, without_gyroscope)
    assert (recording.placement, recording.device) == ("left wrist", "GENEActiv 101806")
    got = recording.frame.select("accel_x", "accel_y", "accel_z").to_numpy()
    np.testing.assert_allclose(got, minute * 9.80665, atol=9.80665 / 256)
    assert not recording.quality.resampled


def test_a_night_is_two_files(tmp_path: Path, signal: np.ndarray, without_gyroscope: Settings) -> None:
    values = np.tile(signal[:, :3], (30, 1))[: 50 * 480]
    write_gt3x(tmp_path / "data" / "p01.gt3x", values, start=dt.datetime(2024, 5, 6, 23, 56), rate_hz=50)
    found = _survey("actigraph", tmp_path / "data", without_gyroscope)
    assert [(one.file.date.isoformat(), one.quality.samples_read) for one in found.staged] == [
        ("2024-05-06", 12_000),
        ("2024-05-07", 12_000),
    ]
    assert found.faults["files whose clock is read as UTC+00:00"] == 1


def test_clipping_is_counted(tmp_path: Path, minute: np.ndarray, without_gyroscope: Settings) -> None:
    clipped = minute.copy()
    clipped[[100, 101, 102, 500, 501, 900, 901], 0] = 7.9
    write_cwa(tmp_path / "data" / "p01.cwa", np.clip(clipped, -7.9, 7.9))
    found = _survey("axivity", tmp_path / "data", without_gyroscope)
    counted = {words: count for words, count in found.faults.items() if words.startswith("samples clipped at")}
    assert list(counted.values()) == [7]


def test_idle_sleep_leaves_a_gap_and_is_named(tmp_path: Path, minute: np.ndarray, without_gyroscope: Settings) -> None:
    write_gt3x(tmp_path / "data" / "p01.gt3x", minute, asleep=range(20, 40))
    found = _survey("actigraph", tmp_path / "data", without_gyroscope)
    (staged,) = found.staged
    assert staged.quality.gaps == 1
    assert found.faults["seconds without samples in pauses of the device"] == 20
    asleep = minute[:3200].copy()
    asleep[500:2100] = asleep[499]  # ActiLife repeats the last value
    write_actilife(tmp_path / "csv" / "p01_raw.csv", asleep)
    (staged,) = _survey("actilife", tmp_path / "csv", without_gyroscope).staged
    assert staged.quality.stuck == 1601


def test_empty_wrong_and_foreign_files_are_refused_by_name(
    tmp_path: Path, minute: np.ndarray, without_gyroscope: Settings
) -> None:
    data = tmp_path / "data"
    write_cwa(data / "sound.cwa", minute)
    (data / "empty.cwa").write_bytes(b"")
    write_bin(data / "renamed.cwa", minute)
    (data / "table.cwa").write_text("time,x,y,z\n1,2,3,4\n")
    found = _survey("axivity", data, without_gyroscope)
    assert [one.source for one in found.staged] == [str(data / "sound.cwa")]
    said = {Path(one.source).name: str(one.error) for one in found.refused}
    assert set(said) == {"empty.cwa", "renamed.cwa", "table.cwa"}
    assert "begins with MD" in said["renamed.cwa"]
    write_gt3x(data / "night.csv", minute)
    write_cwa(data / "day.csv", minute)
    found = _survey("csv", data, without_gyroscope, time="time", accelerometer="x,y,z")
    said = {Path(one.source).name: str(one.error) for one in found.refused}
    assert "Import it with `har import actigraph`" in said["night.csv"]
    assert "Import it with `har import axivity`" in said["day.csv"]


def test_a_file_that_breaks_on_its_second_day_leaves_nothing(
    tmp_path: Path, signal: np.ndarray, without_gyroscope: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gt3x, "PIECE_BYTES", 20_000)
    values = np.tile(signal[:, :3], (30, 1))[: 50 * 480] + np.random.default_rng(0).normal(0, 0.01, (24_000, 3))
    begin = dt.datetime(2024, 5, 6, 23, 56)
    path = write_gt3x(tmp_path / "data" / "p01.gt3x", values, start=begin, rate_hz=50)
    with zipfile.ZipFile(path) as archive:
        log = archive.getinfo("log.bin")
    content = bytearray(path.read_bytes())
    late = log.header_offset + int(log.compress_size * 0.9)
    content[late : late + 50] = bytes(50)
    path.write_bytes(content)
    write_gt3x(tmp_path / "data" / "p02.gt3x", values, start=begin, rate_hz=50)
    found = _survey("actigraph", tmp_path / "data", without_gyroscope)
    (refused,) = found.refused
    assert "a whole .gt3x file" in str(refused.error)
    assert {one.file.subject for one in found.staged} == {"p02"}
    assert found.faults["files whose clock is read as UTC+00:00"] == 1
    assert len(list((without_gyroscope.root / "staging").rglob("*.parquet"))) == 2


def test_a_project_with_a_gyroscope_is_told_before_the_file_is_decoded(
    tmp_path: Path, minute: np.ndarray, settings: Settings
) -> None:
    write_cwa(tmp_path / "data" / "p01.cwa", minute)
    (refused,) = _survey("axivity", tmp_path / "data", settings).refused
    assert "the device Axivity AX3, which has no gyroscope" in str(refused.error)


def test_an_option_that_no_device_has_is_refused(tmp_path: Path, minute: np.ndarray, settings: Settings) -> None:
    write_cwa(tmp_path / "data" / "p01.cwa", minute)
    with pytest.raises(SettingsError, match=r"'timezon'.*Did you mean 'timezone'"):
        _survey("axivity", tmp_path / "data", settings, timezon="UTC")


PROGRAM = """
import sys
from pathlib import Path
from har.importing import survey, write
from har.recordings.layouts import find_layout
from har.settings import Settings, load_settings

path, root, folder = map(Path, sys.argv[1:])
content = load_settings(root).model_dump()
content["sensors"]["gyroscope"] = None
settings = Settings(**content, root=root)
(folder / "staging").mkdir()
found = survey(find_layout("axivity"), path, settings, folder / "staging", inbox=False)
write(found, folder / "inbox")
status = Path("/proc/self/status").read_text().splitlines()
print(len(found.staged), next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.release
def test_memory_does_not_grow_with_the_days_of_a_device(tmp_path: Path, project: Path, signal: np.ndarray) -> None:
    peaks = {}
    for days in (4, 9):
        path = tmp_path / f"p{days}.cwa"
        with path.open("wb") as file:
            file.write(cwa_header(rate_hz=50))
            for number in range(0, days * 36_000, 12_000):
                values = np.tile(signal[:, :3], (1601, 1))[: 120 * 12_000]
                counts = np.rint(values * 256).astype(np.int64).reshape(-1, 120, 3)
                starts = microseconds(dt.datetime(2024, 5, 6)) + (number + np.arange(12_000)) * 2_400_000
                file.write(cwa_blocks(counts, starts, rate_hz=50, first=number))
        folder = tmp_path / str(days)
        folder.mkdir()
        command = [sys.executable, "-c", PROGRAM, str(path), str(project), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
        files, peak_kb = map(int, done.stdout.split())
        assert files == days
        peaks[days] = peak_kb / 1024
    # Of the day that is read and the one that is checked meanwhile; all at once would need more than twice as much.
    assert peaks[9] < 1.25 * peaks[4], peaks
