"""More days of the sample: the same recordings at another offset each day, optionally with a turned watch."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from har.errors import ConflictingRecordingError
from har.recordings import inbox_files, read_recording
from har.sample import replay_round
from har.settings import Settings

DAY = dt.date(2024, 1, 8)


def test_a_round_can_be_ingested_and_returns_the_true_activities(tmp_path: Path, settings: Settings) -> None:
    truth = replay_round(tmp_path, settings, DAY)
    assert truth.group_by("subject", "session").len()["len"].to_list() == [7] * 20
    assert (truth["start"].dt.date() == DAY).all()
    assert (truth["end"].dt.date() == DAY).all()
    found = {(file.subject, file.session): file for file in inbox_files(tmp_path).files}
    assert len(found) == 20
    recording = read_recording(found["s03", "left"], settings)
    assert recording.quality.gaps == 6
    assert recording.quality.coverage > 0.9
    assert recording.frame["activity"].is_null().all()
    exercises = truth.filter((pl.col("subject") == "s03") & (pl.col("session") == "left"))
    segments = recording.frame.group_by("segment").agg(
        pl.col("time").min().alias("start"), pl.col("time").max().alias("end")
    )
    assert segments.sort("segment").select("start", "end").equals(exercises.select("start", "end"))


def test_files_depend_on_the_date_only(tmp_path: Path, settings: Settings) -> None:
    first = replay_round(tmp_path, settings, DAY)
    assert replay_round(tmp_path, settings, DAY).equals(first)
    second = replay_round(tmp_path, settings, DAY + dt.timedelta(days=1))
    lasting = [(day["end"] - day["start"]).to_list() for day in (first, second)]
    assert lasting[0] != lasting[1]
    with pytest.raises(ConflictingRecordingError):
        replay_round(tmp_path, settings, DAY, turned=True)


def test_a_turned_watch_swaps_the_signs_of_two_axes(tmp_path: Path, settings: Settings) -> None:
    frames = []
    for name, turned in (("straight", False), ("turned", True)):
        replay_round(tmp_path / name, settings, DAY, turned=turned)
        file = next(one for one in inbox_files(tmp_path / name).files if one.subject == "s01")
        frames.append(read_recording(file, settings).frame)
    straight, turned = frames
    for channel in settings.sensors.channels:
        sign = 1 if channel.endswith("z") else -1
        assert (turned[channel] == sign * straight[channel]).all()
