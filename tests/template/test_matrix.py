"""Projects with other answers: each answer is in the files that it belongs to, and the project works.

The quick smoke tests of one project run here. With the marker `release`, each project runs them, is linted and typed,
and runs the first act of its demo. `python -m tests.template` runs the whole `make demo`, `make test`, `make lint` and
`make docs` of each.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from delivery_support import make_targets
from template_support import ANSWERS, ROOT, Copy, call, in_project

from har.settings import Settings, load_settings

pytestmark = pytest.mark.stack

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


def make_targets_of(project: Path) -> set[str]:
    """The targets that `make help` lists."""
    return {line.split()[0] for line in call("make", "help", cwd=project).stdout.splitlines()}


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


def test_containers_and_a_remote_are_there_if_they_were_chosen(projects: dict[str, Path]) -> None:
    pocket, watch = settings_of(projects, "pocket"), projects["watch"]
    assert (pocket.images.engine, pocket.images.registry) == ("podman", "ghcr.io/team")
    assert "url = s3://bucket/pocket\n" in (projects["pocket"] / ".dvc" / "config").read_text()
    assert "/config.local" in (projects["pocket"] / ".dvc" / ".gitignore").read_text()
    assert {"image-train", "stack"} <= make_targets_of(projects["pocket"])
    assert not {"image-train", "images", "stack"} & make_targets_of(watch)
    parts = [f"{folder}/{name}" for folder in ("infra", "tests/infra") for name in ("images", "compose", "kubernetes")]
    absent = (".dvc", ".dockerignore", "requirements/checkov.in", "requirements/checkov.txt", *parts)
    assert [name for name in absent if (watch / name).exists()] == []
    assert "make stack" not in (watch / "README.md").read_text()
    assert "[images]" not in (watch / "har.toml").read_text()


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
        name: {file for file in (".github", ".gitlab-ci.yml", ".gitlab", ".ci") if (project / file).exists()}
        for name, project in projects.items()
    }
    assert there == {
        "pocket": {".gitlab-ci.yml", ".gitlab", ".ci"},
        "watch": set(),
        "accelerometer": {".github", ".ci"},
        "gyroscope": {".github", ".ci"},
    }


@pytest.mark.parametrize("pipeline", ["offline", "online"])
def test_both_pipelines_are_there_and_call_what_the_project_has(projects: dict[str, Path], pipeline: str) -> None:
    workflow = f"{pipeline}-ci-cd.yml"
    root = yaml.safe_load((projects["pocket"] / ".gitlab-ci.yml").read_text())
    assert {"local": f".gitlab/{workflow}"} in root["include"]
    assert root["variables"]["PYTHON_VERSION"] == "3.11"
    twin = yaml.safe_load((projects["pocket"] / ".gitlab" / workflow).read_text())
    ours = yaml.safe_load((projects["gyroscope"] / ".github" / "workflows" / workflow).read_text())
    called = {
        "pocket": [line for job in twin.values() for line in job["script"]],
        "gyroscope": [step["run"] for job in ours["jobs"].values() for step in job["steps"] if "run" in step],
    }
    for name, lines in called.items():
        targets = {target for line in lines for target in make_targets(line)}
        assert "lint" in targets
        plan = call("make", "--dry-run", *sorted(targets), cwd=projects[name])
        assert plan.returncode == 0, plan.stderr


@pytest.mark.parametrize(
    "project",
    ["pocket", *(pytest.param(name, marks=pytest.mark.release) for name in ANSWERS if name != "pocket")],
    indirect=True,
)
def test_a_project_of_any_ci_service_is_linted_clean(project: Path) -> None:
    (project / ".venv").symlink_to(ROOT / ".venv")
    done = call(project / "infra" / "delivery" / "lint.sh", cwd=project)
    (project / ".venv").unlink()
    assert done.returncode == 0, done.stderr


def test_postgres_is_named_without_a_password(projects: dict[str, Path]) -> None:
    assert settings_of(projects, "gyroscope").tracking.uri == "postgresql+psycopg://har@127.0.0.1:5432/har"
    assert settings_of(projects, "pocket").tracking.uri == ""


def test_the_settings_are_the_answers(project: Path) -> None:
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    settings = load_settings(project)
    assert settings.project.name == answers["project_slug"]
    assert settings.project.timezone == answers["timezone"]
    assert (settings.recordings.device, settings.recordings.placement) == (answers["device"], answers["placement"])
    units = {
        sensor: answers[f"{sensor}_unit"] for sensor in ("accelerometer", "gyroscope") if f"{sensor}_unit" in answers
    }
    found = {sensor: getattr(settings.sensors, sensor) for sensor in ("accelerometer", "gyroscope")}
    assert {sensor: part.unit for sensor, part in found.items() if part is not None} == units
    assert {one.name: one.unit for one in settings.sensors.further} == answers["further_channels"]
    assert settings.sensors.rate_hz == answers["rate_hz"]
    assert (settings.windows.length_s, settings.windows.overlap) == (answers["window_s"], answers["overlap"])
    assert ", ".join(settings.activities.names) == answers["activities"]
    assert (settings.activities.null or "") == answers["null_class"]


def test_each_project_has_the_text_of_its_licence(source: Path, projects: dict[str, Path]) -> None:
    texts = {name: (project / "LICENSE").read_text() for name, project in projects.items()}
    mit = (source / "LICENSE").read_text().partition("Permission is")[2]
    assert "Copyright (c) The authors of har-mlops\nCopyright (c) The authors of Pocket HAR\n" in texts["pocket"]
    assert texts["watch"].startswith("BSD 3-Clause License\n\nCopyright (c) The authors of watch-100\n\nRedistribution")
    assert texts["accelerometer"].startswith('Copyright (c) Zoë "Z" Müller\n\nLicensed under Apache-2.0.')
    assert "https://spdx.org/licenses/Apache-2.0.html" in texts["accelerometer"]
    assert texts["gyroscope"].startswith("Copyright (c) The authors of Garmin Gyro. All rights reserved.\n")
    for text in texts.values():
        assert text.endswith(mit), "the licence of the template's code requires its text in every copy"
        assert "Copyright (c) The authors of har-mlops\n" in text


def test_each_project_starts_a_changelog_of_its_own(source: Path, projects: dict[str, Path]) -> None:
    text = (projects["pocket"] / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n\nAll notable changes of Pocket HAR")
    version = yaml.safe_load((projects["pocket"] / ".copier-answers.yml").read_text())["_commit"]
    assert text.endswith(f"## [Unreleased]\n\n### Added\n- The project, generated from har-mlops {version}.\n")


def test_smoke_tests_or_all_but_the_templates_own(projects: dict[str, Path]) -> None:
    folders = {name: {path.name for path in (project / "tests").iterdir()} for name, project in projects.items()}
    assert folders["watch"] > {"smoke", "support", "bench", "end_to_end", "conftest.py"}
    assert "template" not in folders["watch"]
    assert folders["pocket"] == folders["accelerometer"] == folders["gyroscope"] == {"smoke"}


def test_no_answer_reaches_the_code(source: Path, project: Path) -> None:
    for part in CODE:
        for path in [project / part, *(project / part).rglob("*")]:
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(project)
                assert path.read_bytes() == (source / name).read_bytes(), name


@pytest.mark.timeout(600)
@pytest.mark.release
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


@pytest.mark.parametrize(
    "name", [name if name == "accelerometer" else pytest.param(name, marks=pytest.mark.release) for name in ANSWERS]
)
def test_its_files_agree(projects: dict[str, Path], name: str) -> None:
    """The quick part of its smoke tests."""
    done = in_project(
        projects[name], "-m", "pytest", "tests/smoke/test_project.py", "-n", "0", "-p", "no:cacheprovider"
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.release
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", list(ANSWERS))
def test_its_smoke_tests_pass(projects: dict[str, Path], name: str, tmp_path: Path) -> None:
    project = projects[name]
    before = {path.name for path in project.iterdir()}
    options = ["-n", "0", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'smoke'}"]
    done = in_project(project, "-m", "pytest", "tests/smoke", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in project.iterdir()} - before <= {"__pycache__"}
    (written,) = (tmp_path / "smoke").glob("*0/project/demo/reports/demo.json")
    # Other activities than the sample's, or a shared database: the demo has a project of its own.
    own, shown = load_settings(project), load_settings(written.parents[1])
    assert shown.project.name == f"{own.project.name}-demo"
    assert shown.sensors.all == own.sensors.all
    assert shown.sensors.rate_hz == own.sensors.rate_hz
    assert shown.windows.length_s == min(own.windows.length_s, 4)
    figures = json.loads(written.read_text())
    assert figures["accuracy"] > 3 / 7, "three times as good as guessing"
    assert figures["days_scored"] == 7
    assert figures["online_windows"] == 12
    assert list((written.parent / "activity").glob("*.html"))
