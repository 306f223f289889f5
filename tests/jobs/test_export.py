"""`har export`: what is written is read back as it lies in the lake, with labels, subjects and the split."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from har.errors import NotEnoughDataError, SettingsError
from har.importing import survey
from har.jobs.export import edge_impulse
from har.jobs.ingest import ingest
from har.project import Project
from har.recordings.layouts import find_layout
from har.settings import Settings
from har_cli._app import app


@pytest.fixture
def filled(two_days: Settings) -> Project:
    project = Project(two_days)
    ingest(project)
    return project


def _entries(folder: Path) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = json.loads((folder / "info.labels").read_text())["files"]
    return entries


def test_an_export_is_imported_as_it_was(tmp_path: Path, filled: Project) -> None:
    done = edge_impulse(filled, tmp_path / "out", seconds=15.0)
    files = sorted((tmp_path / "out").rglob("*.json"))
    assert len(files) == sum(done.files.values()) == len(_entries(tmp_path / "out"))
    staging = tmp_path / "staging"
    staging.mkdir()
    found = survey(
        find_layout("edge-impulse"),
        tmp_path / "out",
        filled.settings,
        staging,
        units={"accelerometer": "m/s^2", "gyroscope": "rad/s"},
        inbox=False,
    )
    assert (found.refused, found.passed) == ([], [])
    samples = filled.lake.samples.read().sort("subject", "time", "activity")
    back = pl.concat(
        pl.read_parquet(one.file.path).with_columns(subject=pl.lit(one.file.subject)) for one in found.staged
    ).sort("subject", "time", "activity")
    assert back["time"].dt.cast_time_unit("us").to_list() == samples["time"].to_list()
    assert back["activity"].to_list() == samples["activity"].to_list()
    for channel in filled.lake.channels:
        factor = 9.80665 if channel.startswith("accel") else 1.0
        assert (back[channel] * factor - samples[channel]).abs().max() <= 2e-6 * samples[channel].abs().max()


def test_held_out_subjects_are_for_testing(tmp_path: Path, filled: Project) -> None:
    edge_impulse(filled, tmp_path / "out")
    sides: dict[str, set[str]] = {}
    for entry in _entries(tmp_path / "out"):
        sides.setdefault(entry["metadata"]["subject"], set()).add(entry["category"])  # type: ignore[index, arg-type]
        assert (tmp_path / "out" / str(entry["path"])).is_file()
    assert all(len(side) == 1 for side in sides.values())
    assert 1 <= sum(side == {"testing"} for side in sides.values()) < len(sides)


def test_files_are_of_one_activity_and_no_longer_than_asked(tmp_path: Path, filled: Project) -> None:
    done = edge_impulse(filled, tmp_path / "out", seconds=15.0)
    for path in (tmp_path / "out").rglob("*.json"):
        payload = json.loads(path.read_bytes())["payload"]
        assert payload["interval_ms"] == 20
        assert {one["units"] for one in payload["sensors"]} == {"m/s2", "rad/s"}
        assert filled.settings.length <= len(payload["values"]) <= 15 * 50
        assert path.name.partition(".")[0] in done.seconds
    assert set(done.seconds) == {"PEN", "ABD", "ROW"}


def test_unlabelled_samples_are_left_out_unless_asked_for(tmp_path: Path, two_days: Settings) -> None:
    for path in two_days.path("inbox").rglob("*_pen.csv"):
        path.write_text(path.read_text().replace("PEN", ""))
    project = Project(two_days)
    ingest(project)
    done = edge_impulse(project, tmp_path / "out")
    assert done.unlabelled_s > 0 and "PEN" not in done.seconds and "" not in done.seconds
    more = edge_impulse(project, tmp_path / "all", unlabelled=True)
    assert more.seconds[""] == pytest.approx(done.unlabelled_s)
    kinds = [entry["label"] for entry in _entries(tmp_path / "all")]
    assert {"type": "unlabeled"} in kinds


def test_what_cannot_be_exported_is_refused(tmp_path: Path, filled: Project) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(SettingsError, match="empty folder"):
        edge_impulse(filled, tmp_path / "full")
    with pytest.raises(SettingsError, match="seconds"):
        edge_impulse(filled, tmp_path / "out", seconds=1.0)
    with pytest.raises(NotEnoughDataError, match="these subjects"):
        edge_impulse(filled, tmp_path / "out", subjects=["nobody"])
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(tmp_path: Path, filled: Project) -> None:
    done = CliRunner().invoke(app, ["export", "edge-impulse", str(tmp_path / "out"), "--subject", "s01"])
    assert done.exit_code == 0, done.output
    assert "ROW" in done.output and ("for training" in done.output or "for testing" in done.output)
    wrong = CliRunner().invoke(app, ["export", "edge-impulze", str(tmp_path / "other")])
    assert isinstance(wrong.exception, SettingsError)
    assert "edge-impulse" in wrong.exception.remedy
