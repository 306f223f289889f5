"""The embedded sample as daily uploads: unchanged signals, safe to write twice."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from har.errors import (
    ConflictingRecordingError,
    LakeError,
    NotARecordingError,
    NotEnoughDataError,
    OddEntryError,
    SettingsError,
)
from har.recordings import InboxFile, inbox_files, read_recording
from har.sample import _recordings as sample_module
from har.sample import replay, sample_recordings
from har.settings import STANDARD_GRAVITY, Settings

CHANNELS = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, replayed once under the default settings."""
    from tests_support import HAR_TOML

    from har.settings import load_settings

    root = tmp_path_factory.mktemp("project")
    (root / "har.toml").write_text(HAR_TOML)
    inbox = root / "data" / "inbox"
    done = replay(inbox, load_settings(root))
    assert (done.written, done.present) == (140, 0)
    assert done.dates == tuple(dt.date(2024, 1, day) for day in range(1, 8))
    return inbox


def hashes(inbox: Path) -> dict[str, str]:
    return {
        str(path.relative_to(inbox)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(inbox.rglob("*"))
        if path.is_file()
    }


def test_every_day_holds_every_subject_and_every_activity(inbox: Path) -> None:
    files, strays = inbox_files(inbox)
    assert not strays
    assert len(files) == 140
    for day in range(1, 8):
        of_day = [file for file in files if file.date.day == day]
        assert {(file.subject, file.session, file.path.suffix) for file in of_day} == {
            (f"s{number:02d}", session, suffix)
            for number in range(1, 11)
            for session, suffix in (("left", ".csv"), ("right", ".parquet"))
        }
        labels = {_activity(file) for file in of_day}
        assert labels == set(sample_module.ACTIVITIES)


def _activity(file: InboxFile) -> str:
    if file.path.suffix == ".csv":
        return file.path.read_text().splitlines()[1].rsplit(",", 1)[1]
    return str(pl.read_parquet(file.path, columns=["activity"])["activity"][0])


def test_the_recordings_are_the_sample_to_float32(inbox: Path, settings: Settings) -> None:
    source = {(one.subject, one.wrist, one.activity): one for one in sample_recordings()}
    assert len(source) == 140
    for file in inbox_files(inbox).files[::9]:
        recording = read_recording(file, settings)
        (activity,) = recording.frame["activity"].unique()
        one = source.pop((file.subject, file.session, activity))
        expected = np.hstack([one.accel_g * STANDARD_GRAVITY, one.gyro_rad_s]).astype(np.float32)
        assert (recording.frame.select(CHANNELS).to_numpy() == expected).all()
        quality = recording.quality
        assert (quality.resampled, quality.gaps, quality.coverage) == (False, 0, 1)
        assert (recording.placement, recording.device) == (f"{one.wrist} wrist", "Apple Watch")
        assert recording.frame["time"][0].date() == file.date


def test_a_second_replay_writes_nothing(inbox: Path, settings: Settings, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in inbox.rglob("*")}
    done = replay(inbox, settings)
    assert (done.written, done.present) == (0, 140)
    assert {path: path.stat().st_mtime_ns for path in inbox.rglob("*")} == before
    replay(tmp_path / "other", settings)
    assert hashes(tmp_path / "other") == hashes(inbox)


def test_a_half_replayed_inbox_is_completed(settings: Settings, tmp_path: Path) -> None:
    replay(tmp_path, settings)
    whole = hashes(tmp_path)
    for name in list(whole)[::3]:
        (tmp_path / name).unlink()
    done = replay(tmp_path, settings)
    assert done.written == len(list(whole)[::3])
    assert hashes(tmp_path) == whole


def test_a_pipe_in_place_of_a_file_is_not_opened(settings: Settings, tmp_path: Path) -> None:
    pipe = tmp_path / "2024-01-01" / "s01_left.csv"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    with pytest.raises(OddEntryError, match=r"2024-01-01/s01_left\.csv.*a named pipe"):
        replay(tmp_path, settings)


def test_a_file_of_the_users_is_never_overwritten(settings: Settings, tmp_path: Path) -> None:
    mine = tmp_path / "2024-01-01" / "s01_left.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ConflictingRecordingError, match="s01_left"):
        replay(tmp_path, settings)
    assert mine.read_text() == "mine"


def test_a_parquet_file_of_another_writer_counts_as_present(inbox: Path, settings: Settings, tmp_path: Path) -> None:
    replay(tmp_path, settings)
    path = tmp_path / "2024-01-01" / "s01_right.parquet"
    pl.read_parquet(path).write_parquet(path, compression="snappy")
    content = path.read_bytes()
    assert replay(tmp_path, settings).written == 0
    assert path.read_bytes() == content


def test_the_package_is_not_imported(inbox: Path) -> None:
    assert "seglearn" not in sys.modules


def test_a_missing_package_is_reported_with_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotEnoughDataError, match=r"pip install seglearn==1\.2\.5"):
        sample_recordings()


def test_a_foreign_file_is_not_unpickled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foreign = tmp_path / "watch_dataset.npy"
    foreign.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.setattr(sample_module, "_find", lambda: foreign)
    with pytest.raises(NotARecordingError, match="SHA-256"):
        sample_recordings()


def test_files_have_the_projects_layout_and_units(change, tmp_path: Path) -> None:
    other = change(
        recordings={"time_column": "t", "time_unit": "ms", "activity_column": "label"},
        sensors={
            "rate_hz": 100.0,
            "accelerometer": {"channels": ("ax", "ay", "az"), "unit": "m/s^2", "full_scale": 157.0},
            "gyroscope": None,
        },
    )
    assert replay(tmp_path, other).written == 140
    files = inbox_files(tmp_path).files
    assert files[0].path.read_text().splitlines()[0] == "t,ax,ay,az,placement,device,label"
    left = next(file for file in files if file.session == "left")
    right = next(file for file in files if file.session == "right")
    for file in (left, right):
        recording = read_recording(file, other)
        assert recording.quality.resampled
        assert recording.quality.measured_rate_hz == pytest.approx(50)
        assert recording.frame["time"].diff().drop_nulls().unique().dt.total_microseconds().to_list() == [10_000]
        one = next(
            one
            for one in sample_recordings()
            if (one.subject, one.wrist, one.activity) == (file.subject, file.session, recording.frame["activity"][0])
        )
        got = recording.frame.select("ax", "ay", "az").to_numpy()[::2]
        np.testing.assert_allclose(got, one.accel_g * STANDARD_GRAVITY, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [{"activities": {"names": ("WALK", "ROW", "PEN")}}, {"sensors": {"further": ({"name": "hr", "unit": "bpm"},)}}],
)
def test_a_project_with_other_activities_is_refused(change, tmp_path: Path, other: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="make demo"):
        replay(tmp_path, change(**other))
    assert inbox_files(tmp_path).files == []


def test_values_are_clipped_at_full_scale(change, tmp_path: Path) -> None:
    small = change(sensors={"accelerometer": {"full_scale": 2.0}})
    replay(tmp_path, small)
    saturated = [read_recording(file, small).quality.saturated for file in inbox_files(tmp_path).files[::10]]
    assert sum(saturated) > 0


def test_other_than_three_channels_is_refused(change, tmp_path: Path) -> None:
    two = change(sensors={"accelerometer": {"channels": ("accel_x", "accel_y")}})
    with pytest.raises(SettingsError, match=r"sensors\.accelerometer\.channels"):
        replay(tmp_path, two)


def test_an_inbox_that_cannot_be_written_is_reported(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("a file")
    with pytest.raises(LakeError, match="can be written"):
        replay(tmp_path / "inbox", settings)
