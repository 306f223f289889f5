"""Files that nothing is known about: refusals are grouped, and the command that would work is shown."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_support import START_MS, put, rows_of
from typer.testing import CliRunner

from har.errors import UnitError
from har.importing import Refused, grouped, propose
from har.recordings.layouts import find_layout
from har.settings import Settings
from har_cli._app import app

NAMES = ("x", "y", "z")


def _csv(path: Path, columns: dict[str, list[str]], *, separator: str = ",", above: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(columns), *(separator.join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text(above + "\n".join(lines) + "\n")


def _axes(signal: np.ndarray, *names: str, comma: bool = False) -> dict[str, list[str]]:
    texts = {name: [f"{value:.6f}" for value in column] for name, column in zip(names, signal.T, strict=True)}
    return {name: [text.replace(".", ",") for text in column] for name, column in texts.items()} if comma else texts


def _moments(form: str, count: int) -> list[str]:
    start = dt.datetime(2024, 5, 26, 8)
    return [(start + dt.timedelta(milliseconds=20 * row)).strftime(form)[:-3] for row in range(count)]


def _plain(folder: Path, signal: np.ndarray) -> None:
    for name in ("s01", "s02"):
        columns = {"epoch_ms": [str(START_MS + row * 20) for row in range(len(signal))]}
        columns |= _axes(signal, "ax", "ay", "az", "gx", "gy", "gz") | {"label": ["PEN"] * len(signal)}
        _csv(folder / f"{name}_a.csv", columns)


def _phyphox(folder: Path, signal: np.ndarray) -> None:
    sensors = [f"Acceleration {axis} (m/s^2)" for axis in NAMES] + [f"Gyroscope {axis} (rad/s)" for axis in NAMES]
    for name in ("anna/run1", "anna/run2"):
        columns = {'"Time (s)"': [f"{row / 50:.9E}" for row in range(len(signal))]}
        columns |= _axes(np.hstack([signal[:, :3] * 9.80665, signal[:, 3:]]), *sensors)
        _csv(folder / f"{name}.csv", columns)


def _loggers(folder: Path, signal: np.ndarray) -> None:
    for person in ("anna", "ben"):
        for name, values in (("TotalAcceleration", signal[:, :3] * 9.80665), ("Gyroscope", signal[:, 3:])):
            columns = {"time": [str((START_MS + row * 20) * 1_000_000) for row in range(len(values))]}
            columns |= {"seconds_elapsed": [f"{row / 50:.4f}" for row in range(len(values))]}
            _csv(folder / person / f"{name}.csv", columns | _axes(values, *NAMES))


def _phyphox_apart(folder: Path, signal: np.ndarray) -> None:
    for name, unit, values in (
        ("Accelerometer", "m/s^2", signal[:, :3] * 9.80665),
        ("Gyroscope", "rad/s", signal[:, 3:]),
    ):
        columns = {"Time (s)": [f"{row / 50:.9E}" for row in range(len(values))]}
        _csv(folder / "anna" / f"{name}.csv", columns | _axes(values, *(f"{axis.upper()} ({unit})" for axis in NAMES)))


def _spreadsheet(folder: Path, signal: np.ndarray) -> None:
    columns = {"Datum": _moments("%d.%m.%Y %H:%M:%S,%f", len(signal))}
    columns |= _axes(signal[:, :3] * 1000, "AccX [mg]", "AccY [mg]", "AccZ [mg]", comma=True)
    columns |= _axes(np.degrees(signal[:, 3:]), "GyroX [dps]", "GyroY [dps]", "GyroZ [dps]", comma=True)
    columns |= {"Aktivität": ["PEN"] * len(signal)}
    _csv(folder / "s01_a.csv", columns, separator=";", above="sep=;\n")


def _device(folder: Path, signal: np.ndarray) -> None:
    columns = {"Timestamp": _moments("%d/%m/%Y %H:%M:%S.%f", len(signal))}
    columns |= _axes(signal, "Accelerometer X", "Accelerometer Y", "Accelerometer Z", "Gyr X", "Gyr Y", "Gyr Z")
    above = "---- Data File Created By ActiLife date format dd/MM/yyyy at 50 Hz ----\nSerial Number: X\nMode = 12\n"
    _csv(folder / "s01_a.csv", columns, above=above)


def _two_columns(folder: Path, signal: np.ndarray) -> None:
    columns = {"Date": ["2024-05-26"] * len(signal), "Clock": _moments("%H:%M:%S.%f", len(signal))}
    columns |= {"participant": ["p7"] * len(signal)} | _axes(
        signal, *(f"{kind}_{axis}" for kind in "ag" for axis in NAMES)
    )
    _csv(folder / "export.csv", columns)


def _counted(folder: Path, signal: np.ndarray) -> None:
    _csv(folder / "s01_a.csv", _axes(signal, "accX", "accY", "accZ", "gyrX", "gyrY", "gyrZ"))


FOLDERS: dict[str, tuple[Callable[[Path, np.ndarray], None], int]] = {
    "plain": (_plain, 2),
    "phyphox": (_phyphox, 2),
    "loggers": (_loggers, 2),
    "phyphox apart": (_phyphox_apart, 1),
    "spreadsheet": (_spreadsheet, 1),
    "device": (_device, 1),
    "two columns": (_two_columns, 1),
    "counted": (_counted, 1),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_command_that_is_shown_works_as_it_stands(
    tmp_path: Path, settings: Settings, signal: np.ndarray, name: str
) -> None:
    write, count = FOLDERS[name]
    write(tmp_path / "my data", signal)
    first = CliRunner().invoke(app, ["import", "csv", str(tmp_path / "my data")])
    assert first.exit_code != 0
    assert "carry no labels" not in first.output
    (command,) = [line.strip() for line in first.output.splitlines() if line.strip().startswith("har import csv ")]
    arguments = shlex.split(command)[1:]
    assert "--dry-run" in arguments
    arguments.remove("--dry-run")
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    tables = [pl.read_parquet(path) for path in sorted(settings.path("inbox").rglob("*.parquet"))]
    assert len(tables) == count
    for table in tables:
        np.testing.assert_allclose(table["accel_z"][-800:], signal[-800:, 2], atol=1e-4)
        np.testing.assert_allclose(table["gyro_x"][-800:], signal[-800:, 3], atol=1e-3)
        assert (table["time"][-1] - table["time"][-800]).total_seconds() == pytest.approx(15.98, abs=1e-3)


def test_equal_refusals_are_one_sentence_with_three_examples(tmp_path: Path, project: Path, signal: np.ndarray) -> None:
    for number in range(25):
        put(tmp_path, rows_of(signal[:100]), f"deep/s{number:02d}_a.csv")
    (tmp_path / "data" / "deep" / "s90_a.csv").write_text("")
    said = CliRunner().invoke(app, ["import", "csv", str(tmp_path / "data")]).output
    assert said.count("expected a column 'accel_x'") == 1
    assert "25 (deep/s00_a.csv, deep/s01_a.csv, deep/s02_a.csv and 22 more): expected a column" in said
    assert said.count("an empty file") == 1
    assert "These options read 2 of 3 files tried" in said or "These options read 3 of 3 files tried" in said


def test_given_options_are_kept_unless_they_are_wrong(tmp_path: Path, settings: Settings, signal: np.ndarray) -> None:
    put(tmp_path, rows_of(signal), "s01_a.csv")
    layout = find_layout("csv")
    given = {"time": "t", "time-unit": "us", "gyroscope": "gx,gy,gz", "pattern": "{subject}_*.csv"}
    proposal = propose(layout, tmp_path / "data", settings, given, {})
    assert proposal is not None
    assert (proposal.read, proposal.tried) == (1, 1)
    assert "-o time-unit=ms" in proposal.command
    assert "'pattern={subject}_*.csv'" in proposal.command
    assert "-o accelerometer=ax,ay,az" in proposal.command
    assert propose(find_layout("motionsense"), tmp_path / "data", settings, {}, {}) is None


def test_what_the_files_do_not_tell_is_said(tmp_path: Path, settings: Settings, signal: np.ndarray) -> None:
    columns = {"when": [one.replace("26/", "06/") for one in _moments("%d/%m/%Y %H:%M:%S.%f", 300)]}
    _csv(tmp_path / "data" / "s01_a.csv", columns | _axes(signal[:300], "ax", "ay", "az", "gx", "gy", "gz"))
    proposal = propose(find_layout("csv"), tmp_path / "data", settings, {}, {})
    assert proposal is not None
    assert any("%m/%d/%Y" in note for note in proposal.notes)


def test_labels_that_the_project_lacks_are_named(tmp_path: Path, settings: Settings, signal: np.ndarray) -> None:
    put(tmp_path, rows_of(signal, "yoga"), "s01_a.csv")
    proposal = propose(find_layout("csv"), tmp_path / "data", settings, {}, {})
    assert proposal is not None
    assert proposal.labels == ("yoga",)


def test_a_table_that_nobody_can_guess_says_how_far_it_got(tmp_path: Path, project: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "s01_a.csv").write_text("a,b,c\n" + "1,2,3\n" * 100)
    said = CliRunner().invoke(app, ["import", "csv", str(tmp_path / "data")]).output
    assert "it does not read the files yet" in said
    assert "No columns x, y and z of a gyroscope were found" in said
    assert "It fails with: " in said


def test_groups_differ_by_what_they_say_not_by_numbers() -> None:
    errors = [
        UnitError(where=f"f{number}", expected="an acceleration near 9.81 m/s²", got=f"{number} m/s²", remedy="Fix it.")
        for number in range(5)
    ]
    other = UnitError(where="f9", expected="another thing", got="this", remedy="Fix it.")
    groups = grouped([Refused(error.where, error) for error in [other, *errors]])
    assert [len(group.sources) for group in groups] == [5, 1]
    assert groups[0].text("").startswith("5 (f0, f1, f2 and 2 more): expected an acceleration near 9.81")
    assert groups[1].text("").startswith("f9: expected another thing")
