"""`har check-device` as it is typed, and the warnings of `har import` and of `har stream`."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from loop_support import write_mean_model
from rich.console import Console
from stream_support import ListSource, await_true, body
from tests_support import example_recipe
from typer.testing import CliRunner

from har.devices import DEVICE_REFERENCE, Recorded
from har.errors import MissingColumnError, SettingsError
from har.jobs.diagnose import device_reference
from har.jobs.stream import doubtful_devices, run
from har.project import open_project
from har.sample import sample_recordings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.new_devices import DEVICES, read_devices
from har.streaming.sources import Delivery
from har_cli import check_device as check_cli
from har_cli import importing as import_cli
from har_cli._app import app
from tests.bench.devices._confusion import EACH_S, reference_of
from tests.bench.devices._data import sample, spread

ACTIVITIES = ("PEN", "ABD", "FEL", "IR", "TRAP", "ROW")
CHANNELS = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (check_cli, import_cli):
        monkeypatch.setattr(module, "out", Console(soft_wrap=True, highlight=False, width=200))


@pytest.fixture(scope="session")
def reference_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device reference of seven left wrists."""
    people = {name: spread(recorded, 60.0, EACH_S) for name, recorded in sample("left").items() if name < "s08"}
    path = tmp_path_factory.mktemp("reference") / DEVICE_REFERENCE
    reference_of(people, 50.0).write(path)
    return path


@pytest.fixture
def champion(project: Path, reference_file: Path) -> Path:
    """A project with a champion that has a device reference."""
    opened = open_project(project)
    model = write_mean_model(project / "model.onnx", opened.settings)
    number = opened.registry.register(
        model,
        params={},
        metrics={},
        recipe=example_recipe(),
        report=None,
        extra_artifacts=[reference_file],
        tags={},
    ).number
    opened.registry.promote(number, reason="first", who="test")
    return project


def _frame(name: str, activity: str, **changes: pl.Expr | pl.Series) -> pl.DataFrame:
    one = next(one for one in sample_recordings() if (one.subject, one.activity, one.wrist) == (name, activity, "left"))
    values = np.hstack([one.accel_g, one.gyro_rad_s])[:700]
    start = 1_704_100_000_000_000 + ACTIVITIES.index(activity) * 60_000_000
    times = pl.Series(start + np.arange(len(values)) * 20_000).cast(pl.Datetime("us"))
    frame = pl.DataFrame(dict(zip(CHANNELS, values.T, strict=True)))
    return frame.select(
        times.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").alias("time"),
        *CHANNELS,
        pl.lit("wrist").alias("placement"),
        pl.lit("MyWatch").alias("device"),
    ).with_columns(**changes)


def _files(folder: Path, **changes: pl.Expr | pl.Series) -> list[str]:
    folder.mkdir(exist_ok=True)
    paths = []
    for activity in ACTIVITIES:
        path = folder / f"s09_{activity.lower()}.csv"
        _frame("s09", activity, **changes).write_csv(path)
        paths.append(str(path))
    return paths


SWAPPED = {
    "accel_x": pl.col("accel_y"),
    "accel_y": pl.col("accel_x"),
    "gyro_x": pl.col("gyro_y"),
    "gyro_y": pl.col("gyro_x"),
}


def _har(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def test_a_right_device_ends_with_0_and_a_swapped_one_with_1_and_the_options(champion: Path, tmp_path: Path) -> None:
    said = _har("check-device", *_files(tmp_path / "right"))
    assert "MyWatch, worn at wrist: 84 s, beside version 1, the champion" in said
    assert "Nothing is wrong" in said
    said = _har("check-device", *_files(tmp_path / "wrong", **SWAPPED), status=1)
    assert "1. Axes x and y are swapped, of both sensors" in said
    assert "har import … --axes accelerometer=y,x,z --axes gyroscope=y,x,z" in said


def test_the_same_options_make_it_right_and_the_import_applies_them(champion: Path, tmp_path: Path) -> None:
    _files(tmp_path / "wrong", **SWAPPED)
    axes = ["--axes", "accelerometer=y,x,z", "--axes", "gyroscope=y,x,z"]
    found = json.loads(_har("check-device", str(tmp_path / "wrong"), *axes, "--json"))
    assert [(one["device"], one["findings"]) for one in found] == [("MyWatch", [])]
    columns = ["-o", "device=device", "-o", "placement=placement"]
    said = _har("import", "csv", str(tmp_path / "wrong"), *columns)
    assert "MyWatch: Axes x and y are swapped, of both sensors" in said
    assert "6 files written" in said
    shutil.rmtree(champion / "data" / "inbox")
    said = _har("import", "csv", str(tmp_path / "wrong"), *columns, *axes)
    assert "swapped" not in said
    written = pl.read_parquet(champion / "data" / "inbox" / "2024-01-01" / "s09_row.parquet")
    original = _frame("s09", "ROW")
    for channel in CHANNELS:
        assert np.allclose(written[channel], original[channel], atol=1e-5)


def test_a_device_that_the_lake_knows_is_not_looked_at_again(champion: Path, tmp_path: Path) -> None:
    _files(tmp_path / "wrong", **SWAPPED)
    columns = ["-o", "device=device", "-o", "placement=placement"]
    _har("import", "csv", str(tmp_path / "wrong"), *columns)
    _har("ingest")
    assert "swapped" not in _har("import", "csv", str(tmp_path / "wrong"), *columns)


def test_without_a_champion_physics_alone_is_asked(project: Path, tmp_path: Path) -> None:
    grams = {name: pl.col(name) * 9.80665 for name in CHANNELS[:3]}
    said = _har("check-device", *_files(tmp_path / "si", **grams), status=1)
    assert "physics alone: no version has a device reference yet" in said
    assert "1. The acceleration is in m/s^2, and is read as g" in said
    assert "--unit accelerometer=m/s^2" in said
    assert "Nothing is wrong" in _har("check-device", str(tmp_path / "si"), "--unit", "accelerometer=m/s^2")


def test_bad_options_and_files_have_their_errors(project: Path, tmp_path: Path) -> None:
    (path,) = _files(tmp_path / "one")[:1]
    for arguments in (["--axes", "accelerometer=x,x,z"], ["--unit", "accelerometer=kg"], ["--axes", "x,y,z"]):
        assert isinstance(CliRunner().invoke(app, ["check-device", path, *arguments]).exception, SettingsError)
    bare = tmp_path / "s01_bare.csv"
    pl.DataFrame({"time": ["2024-01-01T00:00:00Z"], "other": [1]}).write_csv(bare)
    assert isinstance(CliRunner().invoke(app, ["check-device", str(bare)]).exception, MissingColumnError)


def test_a_version_without_a_reference_gets_one_from_the_lake_once(project: Path, tmp_path: Path) -> None:
    for subject in ("s01", "s02", "s03", "s04"):
        folder = project / "data" / "inbox" / "2024-01-01"
        folder.mkdir(parents=True, exist_ok=True)
        _frame(subject, "PEN").with_columns(pl.lit("PEN").alias("activity")).write_csv(folder / f"{subject}_a.csv")
    _har("ingest")
    opened = open_project(project)
    recipe = example_recipe(split={"train": ["s01", "s02", "s03"], "validation": ["s04"], "held_out": []})
    model = write_mean_model(project / "model.onnx", opened.settings)
    number = opened.registry.register(model, params={}, metrics={}, recipe=recipe, report=None, tags={}).number
    opened.registry.promote(number, reason="first", who="test")
    found, words = device_reference(opened)
    assert found is not None
    assert [worn.subjects for worn in found.worn.values()] == [4]
    assert found.rates_hz == pytest.approx((50.0, 50.0), abs=0.1)
    assert words.startswith("version 1, the champion (learned from the lake")
    kept = project / "runs" / "devices-of-version-1.json"
    kept.write_text(kept.read_text().replace('"uneven": 0.0', '"uneven": 0.25'))
    again, _ = device_reference(opened)
    assert again is not None
    assert again.uneven == 0.25


def _messages(recorded: list[Recorded], device: str) -> Iterator[Envelope]:
    """A second each, with the axes x and y swapped."""
    at = 1_704_100_000_000_000
    for number in range(24):
        one = recorded[number // 12]
        part = slice((number % 12) * 50, (number % 12) * 50 + 50)
        assert one.gyroscope is not None
        values = np.hstack([one.accelerometer[part], one.gyroscope[part]])[:, [1, 0, 2, 4, 3, 5]]
        yield Envelope(
            StreamKey("anna", device, "walk"),
            number,
            at + number * 1_000_000,
            50.0,
            np.ascontiguousarray(values, np.float32),
            "wrist",
        )


def test_a_new_device_in_the_stream_is_warned_of_once(
    champion: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    opened = open_project(champion)
    people = sample("left")["s09"]
    sent = [Delivery(body(one, opened.settings)) for one in _messages([people[0], people[-1]], "watch-9")]
    stop = threading.Event()
    folder = opened.settings.path("stream")
    with caplog.at_level(logging.WARNING, "har.stream"):
        thread = threading.Thread(target=lambda: run(opened, stop, sources=[ListSource(sent)]))
        thread.start()
        try:
            await_true(lambda: (folder / DEVICES).is_file(), 60)
        finally:
            stop.set()
            thread.join(60)
    (found,) = read_devices(folder)
    assert (found.wearing, found.seconds) == (("anna", "watch-9"), pytest.approx(20, abs=1.5))
    warned = [
        record.getMessage() for record in caplog.records if "the new device watch-9 of anna" in record.getMessage()
    ]
    assert len(warned) == len(found.findings) == 1
    assert "are swapped, of both sensors" in warned[0]
    assert doubtful_devices(opened) == [found]
    assert "watch-9 of anna: Axes x and y are swapped" in _har("stream", "ledger")
    # After a restart it is known, and costs nothing any more.
    from har.streaming.new_devices import NewDevices

    monkeypatch.setattr(NewDevices, "_look", lambda *_: pytest.fail("looked at again"))
    again = NewDevices(opened.settings, lambda: None)
    again.close()
    assert read_devices(folder) == [found]
