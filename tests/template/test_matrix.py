"""Projects with other answers: what was answered lies in the files it belongs to, and the project is sound.

Each runs the first act of its own demo here. `python -m tests.template` runs their whole `make demo`, `make test` and
`make lint`, which takes half an hour a project.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from template_support import ANSWERS, Copy, in_project

from har.settings import Settings, load_settings

CODE = ("bentos", "flows", "infra", "src", "tests", "Makefile", "bentofile.yaml")


@pytest.fixture(scope="module")
def projects(source: Path, copy: Copy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project for every set of answers."""
    folder = tmp_path_factory.mktemp("projects")
    for name, answers in ANSWERS.items():
        done = copy(source, folder / name, answers)
        assert done.returncode == 0, done.stderr
    return {name: folder / name for name in ANSWERS}


@pytest.fixture(params=list(ANSWERS))
def project(request: pytest.FixtureRequest, projects: dict[str, Path]) -> Path:
    return projects[request.param]


def settings_of(projects: dict[str, Path], name: str) -> Settings:
    return load_settings(projects[name])


def deployments(project: Path) -> dict[str, Any]:
    found = yaml.safe_load((project / "prefect.yaml").read_text())["deployments"]
    return {f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}": one for one in found}


def test_a_published_data_set_brings_its_device_rate_and_activities(projects: dict[str, Path]) -> None:
    pocket, watch = settings_of(projects, "pocket"), settings_of(projects, "watch")
    assert pocket.project.name == "pocket-har"
    assert (pocket.recordings.device, pocket.recordings.placement) == ("phone", "pocket")
    assert pocket.activities.all == ("dws", "ups", "wlk", "jog", "std", "sit")
    assert (watch.sensors.rate_hz, watch.length, watch.activities.null) == (100, 100, "OTHER")
    assert watch.sensors.accelerometer is not None
    assert watch.sensors.accelerometer.to_si == 1.0
    assert "har import motionsense" in (projects["pocket"] / "README.md").read_text()
    assert "har import sp-sw-har" in (projects["watch"] / "README.md").read_text()


def test_sensors_that_were_not_chosen_are_not_there(projects: dict[str, Path]) -> None:
    alone, turning = settings_of(projects, "accelerometer"), settings_of(projects, "gyroscope")
    assert alone.sensors.channels == ("accel_x", "accel_y", "accel_z", "pressure", "pulse")
    assert alone.sensors.units == ("m/s^2", "m/s^2", "m/s^2", "hPa", "bpm")
    assert (alone.length, alone.stride) == (64, 48)
    assert turning.sensors.accelerometer is None
    assert turning.sensors.gyroscope is not None
    assert turning.sensors.gyroscope.unit == "deg/s"
    assert "accelerometer" not in (projects["gyroscope"] / "har.toml").read_text().partition("[windows]")[0]


def test_names_and_texts_survive_the_formats_they_go_into(projects: dict[str, Path]) -> None:
    about = tomllib.loads((projects["accelerometer"] / "pyproject.toml").read_text())["project"]
    assert about["description"] == 'Walking, sitting & "lying".'
    assert about["authors"] == [{"name": 'Zoë "Z" Müller'}]
    assert about["license"] == "Apache-2.0"
    assert (projects["accelerometer"] / ".python-version").read_text() == "3.12\n"
    assert (projects["pocket"] / "README.md").read_text().startswith("# Pocket HAR\n")
    assert "--image-tag ghcr.io/team/pocket-har-online:latest" in (projects["pocket"] / "README.md").read_text()


def test_schedules_and_their_zone(projects: dict[str, Path]) -> None:
    watch = deployments(projects["watch"])
    assert [watch[name]["schedules"][0]["cron"] for name in ("ingest/daily", "score/nightly", "monitor/daily")] == [
        "15 23 * * *",
        "0 0 * * *",
        "30 0 * * *",
    ]
    assert watch["train/weekly"]["schedules"][0]["cron"] == "0 1 * * 6"
    pocket = [one for deployment in deployments(projects["pocket"]).values() for one in deployment.get("schedules", [])]
    assert {one["timezone"] for one in pocket} == {"Europe/Vienna"}
    assert all(one["active"] is True for one in pocket)
    off = deployments(projects["accelerometer"]).values()
    assert {one["active"] for deployment in off for one in deployment.get("schedules", [])} == {False}


def test_one_ci_provider_or_none(projects: dict[str, Path]) -> None:
    there = {
        name: {file for file in (".github", ".gitlab-ci.yml", ".ci") if (project / file).exists()}
        for name, project in projects.items()
    }
    assert there == {
        "pocket": {".gitlab-ci.yml", ".ci"},
        "watch": set(),
        "accelerometer": {".github", ".ci"},
        "gyroscope": {".github", ".ci"},
    }
    job = yaml.safe_load((projects["pocket"] / ".gitlab-ci.yml").read_text())["test"]
    assert job["image"] == "python:3.11"
    assert job["script"] == [".ci/run"]
    steps = yaml.safe_load((projects["gyroscope"] / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": ".ci/run"}


def test_postgres_is_named_without_a_password(projects: dict[str, Path]) -> None:
    assert settings_of(projects, "gyroscope").tracking.uri == "postgresql+psycopg://har@127.0.0.1:5432/har"
    assert settings_of(projects, "pocket").tracking.uri == ""


def test_no_answer_reaches_the_code(source: Path, project: Path) -> None:
    for part in CODE:
        for path in [project / part, *(project / part).rglob("*")]:
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(project)
                assert path.read_bytes() == (source / name).read_bytes(), name


@pytest.mark.parametrize("name", list(ANSWERS))
def test_it_is_linted_and_typed(projects: dict[str, Path], name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "mypy-cache"  # the same code in every project
    for command in (
        ["-m", "ruff", "check", ".", "--no-cache"],
        ["-m", "ruff", "format", "--check", ".", "--no-cache"],
        ["-m", "mypy", "--cache-dir", str(cache)],
        ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
    ):
        done = in_project(projects[name], *command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.mark.timeout(900)
def test_the_first_act_of_its_demo_leaves_its_own_lake_alone(project: Path) -> None:
    before = {path.name for path in project.iterdir()}
    eased = {"HAR_SPLIT__FOLDS": "2", "HAR_GATES__CLASS_FLOOR": "0", "HAR_GATES__LATENCY_MS": "1000"}
    done = in_project(project, "-m", "har_cli", "demo", "--first-act", HAR_ROOT="", **eased)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a project of its own" in " ".join((done.stdout + done.stderr).split())
    assert {path.name for path in project.iterdir()} - before <= {"demo", "__pycache__"}
    own, shown = load_settings(project), load_settings(project / "demo")
    assert shown.project.name == f"{own.project.name}-demo"
    assert shown.sensors.all == own.sensors.all
    assert shown.sensors.rate_hz == own.sensors.rate_hz
    assert shown.windows.length_s == min(own.windows.length_s, 4)
    figures = json.loads((project / "demo" / "reports" / "demo.json").read_text())
    assert figures["accuracy"] > 3 / 7, "three times as good as guessing"
    assert figures["days_scored"] == 7
    assert figures["online_windows"] == 12
    assert list((project / "demo" / "reports" / "activity").glob("*.html"))
    shutil.rmtree(project / "demo")
