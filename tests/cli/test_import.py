"""`har import` as it is typed, and a reader of the user's own."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from fit_support import ACCELEROMETER, EPOCH_S, GYROSCOPE, batches, file_id, write_fit
from rich.console import Console
from typer.testing import CliRunner

from har.errors import SettingsError, UnknownActivityError
from har.recordings import InboxFile, inbox_files, read_recording
from har.sample import sample_recordings
from har.settings import Settings, load_settings
from har_cli import importing as import_cli
from har_cli._app import app

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "new-reader.md"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables on a terminal wide enough: they fold by the width that the console was made with."""
    monkeypatch.setattr(import_cli, "out", Console(soft_wrap=True, highlight=False, width=200))


def _har(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["import", *arguments], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def _raised(*arguments: str) -> BaseException:
    done = CliRunner().invoke(app, ["import", *arguments])
    assert done.exception is not None
    return done.exception


def _fit(folder: Path) -> None:
    for recording in sample_recordings()[:2]:
        count = len(recording.accel_g)
        times = (1_714_986_000 - EPOCH_S) * 1000 + np.arange(count) * 20
        accel = batches(ACCELEROMETER, times, recording.accel_g, (5, 6, 7), "float32")
        gyro = batches(GYROSCOPE, times, np.degrees(recording.gyro_rad_s), (5, 6, 7), "float32")
        name = f"{recording.subject}_{recording.wrist}-{recording.activity.lower()}.fit"
        write_fit(folder / name, [file_id(), *accel, *gyro])


PATTERN = "pattern={subject}_{session}-{activity}.fit"


def test_a_dry_run_says_what_is_there_and_writes_nothing(tmp_path: Path, project: Path) -> None:
    _fit(tmp_path / "fit")
    said = _har("garmin-fit", str(tmp_path / "fit"), "--dry-run", "-o", PATTERN)
    assert re.search(r"garmin +│ wrist +│ 1 +│ 2 +│ 0\.02 +│ 50\.0 Hz +│ accelerometer g, gyroscope deg/s", said)
    assert re.search(r"pen +│ PEN +│ [\d,]+", said)
    assert "Dates: 2024-05-06." in said
    assert "2 files would go to" in said
    assert not (project / "data").exists()


def test_an_import_is_taken_by_ingest_and_done_once(tmp_path: Path, settings: Settings) -> None:
    _fit(tmp_path / "fit")
    assert "2 files written, 0 there already" in _har("garmin-fit", str(tmp_path / "fit"), "-o", PATTERN)
    assert "0 files written, 2 there already" in _har("garmin-fit", str(tmp_path / "fit"), "-o", PATTERN)
    files, strays = inbox_files(settings.path("inbox"))
    assert strays == []
    assert [file.session for file in files] == ["left", "right"]
    recording = read_recording(files[0], settings)
    source = sample_recordings()[0]
    np.testing.assert_allclose(recording.frame["accel_x"], source.accel_g[:, 0] * 9.80665, rtol=1e-6)
    np.testing.assert_allclose(recording.frame["gyro_y"], source.gyro_rad_s[:, 1], rtol=1e-5)
    assert recording.frame["activity"].unique().to_list() == ["PEN"]


def test_unknown_labels_end_the_command_before_it_writes(tmp_path: Path, project: Path) -> None:
    _fit(tmp_path / "fit")
    arguments = ("garmin-fit", str(tmp_path / "fit"), "-o", PATTERN.replace("-{activity}", "-*"), "-o", "activity=yoga")
    error = _raised(*arguments)
    assert isinstance(error, UnknownActivityError)
    assert "--map 'yoga=" in error.remedy
    assert not (project / "data").exists()
    assert "2 files written" in _har(*arguments, "--map", "yoga=ROW")


def test_what_was_renamed_passed_over_and_refused_is_said(tmp_path: Path, project: Path) -> None:
    _fit(tmp_path / "fit")
    for path in sorted((tmp_path / "fit").iterdir()):
        path.rename(path.with_name(path.name.replace("_", "_1 x_", 1)))
    (tmp_path / "fit" / "notes.txt").write_text("x")
    (tmp_path / "fit" / "s09 x_left-pen.fit").write_bytes(b"")
    said = _har("garmin-fit", str(tmp_path / "fit"), "-o", "pattern={subject} x_{session}-{activity}.fit", status=3)
    assert re.search(r"Subjects renamed for the inbox: 's\d+_1' → s\d+-1\.", said)
    assert "passed over 1 .txt file (notes.txt)" in said
    assert "refused " in said
    assert "2 files written, 0 there already, 1 recording refused, 1 entry passed over" in said


def test_options_without_a_value_are_refused(tmp_path: Path, project: Path) -> None:
    error = _raised("csv", str(tmp_path), "-o", "time")
    assert isinstance(error, SettingsError)
    assert "NAME=VALUE" in error.expected


def test_the_list_names_every_layout() -> None:
    said = _har("--list")
    for name in ("csv", "garmin-fit", "motionsense", "parquet", "sp-sw-har", "uci-har", "uci-hapt", "wisdm"):
        assert re.search(rf"^{name} ", said, re.MULTILINE)
    assert "-o pattern=" in said


def test_the_guides_reader_works_from_its_own_file(tmp_path: Path, project: Path) -> None:
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) <= 45
    reader = tmp_path / "acme_band.py"
    reader.write_text(textwrap.dedent(code[1]))
    source = sample_recordings()[0]
    lines = ["# acme band 3", "ms;ax;ay;az;gx;gy;gz;doing"]
    for row, (accel, gyro) in enumerate(zip(source.accel_g, np.degrees(source.gyro_rad_s), strict=True)):
        values = [1_714_986_000_000 + row * 20, *(accel * 1000), *gyro]
        lines.append(";".join([*map(repr, map(float, values)), "ROW"]))
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "anna-07.txt").write_text("\n".join(lines))
    assert "1 files written" in _har(str(reader), str(tmp_path / "export"))
    own = load_settings(project)
    (file,), _ = inbox_files(own.path("inbox"))
    assert (file.subject, file.session) == ("anna", "07")
    frame = read_recording(InboxFile(file.path, file.date, file.subject, file.session), own).frame
    np.testing.assert_allclose(frame["accel_z"], source.accel_g[:, 2] * 9.80665, rtol=1e-6)


@pytest.mark.parametrize(("text", "word"), [("x = 1\n", "LAYOUT"), (None, "no such file")])
def test_a_file_without_a_reader_is_refused(tmp_path: Path, project: Path, text: str | None, word: str) -> None:
    reader = tmp_path / "mine.py"
    if text is not None:
        reader.write_text(text)
    error = _raised(str(reader), str(tmp_path))
    assert isinstance(error, SettingsError)
    assert word in str(error)
