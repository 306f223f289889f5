"""The offline pipeline for real: act and gitlab-ci-local run its steps in order, and it delivers to a local stack.

Recordings come from a DVC remote in a folder, models go to MLflow on SQLite, schedules to a Prefect server whose worker
then runs one of them in the delivered folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delivery_support import (
    INSTALLATION,
    ROOT,
    TOOLS,
    Run,
    act,
    commit,
    copy_project,
    environment_for,
    git,
    gitlab,
    gitlab_files,
)

from har.project import Project
from har.sample import replay
from har.settings import Settings, load_settings
from infra.delivery._step import RESULTS
from infra.local.child import Child
from infra.local.login import login
from infra.local.server import server_environment, starting_server

pytestmark = [pytest.mark.release, pytest.mark.timeout(3000)]

SMALL = {
    "HAR_TRAINING__EPOCHS": "4",
    "HAR_SPLIT__FOLDS": "2",
    "HAR_SPLIT__HELD_OUT": "[]",
    "HAR_GATES__CLASS_FLOOR": "0",
    "TESTS": "tests/smoke/test_project.py",
    "ENGINE": os.environ.get("ENGINE", "none"),
}
"""A small training on a busy machine, the tests of a few seconds, and an image only where ENGINE asks for one; the real
workflows set none of it."""

CI = {
    "lint": ["make lint", "make docs", "make unchanged"],
    "test": ["make test-offline", "make unchanged"],
    "data": ["make data-contract", "make train-smoke"],
    "image": ["make train-image", "make train-image-test"],
}
DELIVERY = ["data", "train", "evaluate", "gate", "schedules", "report"]
DIFFERENCE = ["make metric-difference", "make comment"]


def dvc(folder: Path, *words: str) -> None:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    subprocess.run([TOOLS / "bin" / "dvc", *words], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project whose recordings are under DVC, in a remote beside it, and not in the folder."""
    if not (ROOT / ".github" / "workflows" / "offline-ci-cd.yml").is_file() and not gitlab_files(ROOT):
        pytest.skip("this project has no CI service")
    folder = copy_project(tmp_path_factory.mktemp("delivery") / "source")
    shutil.rmtree(folder / "data", ignore_errors=True)
    for name, content in gitlab_files(ROOT).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    if not (folder / ".dvc").is_dir():
        dvc(folder, "init")
    dvc(folder, "remote", "add", "--force", "--default", "beside", str(folder.with_name("remote")))
    settings = load_settings(folder)
    replay(settings.path("inbox"), settings)
    ignored = folder / ".gitignore"
    ignored.write_text(ignored.read_text().replace("/data/\n", "/data/?*\n!/data/*.dvc\n") + "/.gitlab-ci-local/\n")
    dvc(folder, "add", "data/inbox")
    dvc(folder, "push")
    commit(folder, "recordings")
    shutil.rmtree(folder / "data" / "inbox")
    shutil.rmtree(folder / ".dvc" / "cache")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Prefect server with a login, on a free port: its API, and its home."""
    home = tmp_path_factory.mktemp("prefect")
    with starting_server(home, full=True) as ready:
        yield ready(), home


def assert_ran(run: Run, job: str, expected: list[str], *, entries: int = 1) -> None:
    """All these make targets ran in this order, and none failed; `entries` of a matrix run at the same time."""
    steps = run.of(job)
    ran = [name for name, _ in steps if name.startswith("make ")]
    if entries == 1:
        assert ran == expected, run.output[-4000:]
    else:
        assert sorted(ran) == sorted(expected * entries), run.output[-4000:]
    assert {result for _, result in steps} == {"success"}, run.output[-4000:]


def assert_delivered(delivered: Settings, server: tuple[str, Path], folder: Path) -> None:
    """Everything that the delivery was to bring is there, and the worker runs what it deployed."""
    project = Project(delivered)
    champion = project.registry.champion()
    assert champion.number == 1
    assert project.registry.verify_log() >= 2
    assert len(project.lake.samples.partitions()) == 70
    results = delivered.root / RESULTS
    assert "Version 1 promoted" in (results / "gate.md").read_text()
    evaluation = json.loads((delivered.path("reports") / "evaluation.json").read_text())
    assert evaluation["accuracy"] > 3 / len(delivered.activities.all), "three times as good as guessing"
    with tarfile.open(results / "artifact.tar") as pages:
        assert {"./index.html", "./model-1.html", "./evaluation.html", "./gate.md"} <= set(pages.getnames())
    api, home = server
    environment = {**os.environ, **server_environment(home, api), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    worker = Child(
        "worker",
        ["prefect", "worker", "start", "--pool", "local", "--type", "process"],
        environment=environment,
        log=folder / "worker.log",
        folder=folder,
    )
    try:
        states = subprocess.run(
            [ROOT / ".venv" / "bin" / "prefect", "deployment", "run", "score/nightly", "--watch"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        worker.stop()
    assert states.returncode == 0, states.stdout + states.stderr + (folder / "worker.log").read_text()
    assert set(project.lake.scores.read()["model_version"]) == {1}


def test_github_runs_everything_on_main_and_delivers(source: Path, server: tuple[str, Path], tmp_path: Path) -> None:
    api, home = server
    run = act(
        source,
        "offline-ci-cd.yml",
        "push",
        tmp_path / "run",
        environment=SMALL,
        variables={"PREFECT_API_URL": api, "PAGES": "on"},
        secrets={"PREFECT_API_AUTH_STRING": login(home)},
    )
    assert run.status == 0, run.output[-6000:]
    for job, expected in CI.items():
        assert_ran(run, job, expected)
    assert_ran(run, "deliver", [f"make deliver-{step}" for step in DELIVERY])
    assert [result for _, result in run.of("publish")] == ["success"]
    assert not run.of("difference")
    assert (run.artifacts / "github-pages" / "artifact.tar").is_file()
    figures = json.loads((run.artifacts / "train-smoke" / "delivery" / "train-smoke.json").read_text())
    assert figures["metrics"]["accuracy"] > 3 * figures["guessing"]
    assert_delivered(load_settings(tmp_path / "run" / INSTALLATION), server, tmp_path)


@pytest.fixture
def request_event(source: Path) -> dict[str, Any]:
    """The event of a pull request from a fork that changes the training."""
    base = git(source, "rev-parse", "HEAD")
    settings = source / "har.toml"
    settings.write_text(settings.read_text().replace("batch_size = 128", "batch_size = 64"))
    head = commit(source, "a smaller batch")
    return {
        "pull_request": {
            "number": 7,
            "base": {"sha": base, "ref": "main"},
            "head": {"sha": head, "ref": "smaller", "repo": {"full_name": "someone/fork"}},
        }
    }


def test_github_shows_a_pull_request_what_it_changes(
    source: Path, request_event: dict[str, Any], tmp_path: Path
) -> None:
    run = act(source, "offline-ci-cd.yml", "pull_request", tmp_path / "run", jobs=["difference"], payload=request_event)
    assert run.status == 0, run.output[-6000:]
    assert_ran(run, "difference", DIFFERENCE)
    assert "No token for comments" in run.output
    written = (run.artifacts / "difference" / "difference.md").read_text()
    rows = [line for line in written.splitlines() if line.startswith("| accuracy |")]
    assert len(rows) == 1
    assert "…" in rows[0].split("|")[-2]


def test_gitlab_runs_the_same(
    source: Path, server: tuple[str, Path], request_event: dict[str, Any], tmp_path: Path
) -> None:
    if not gitlab_files(ROOT):
        pytest.skip("this project has no GitLab pipelines")
    if shutil.which("rsync") is None:
        pytest.skip("gitlab-ci-local needs rsync")
    api, home = server
    folder = tmp_path / "project"
    subprocess.run(["git", "clone", "--quiet", source, folder], check=True)
    environment_for(folder, tmp_path / "scripts")
    run = gitlab(
        folder,
        tmp_path / "run",
        *(f"offline:{job}" for job in CI),
        environment=SMALL,
    )
    assert run.status == 0, run.output[-6000:]
    for job, expected in CI.items():
        assert_ran(run, f"offline:{job}", expected, entries=2 if job == "test" else 1)
    merging = {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": request_event["pull_request"]["base"]["sha"],
    }
    compared = gitlab(folder, tmp_path / "compared", "offline:difference", variables=merging)
    assert compared.status == 0, compared.output[-6000:]
    assert_ran(compared, "offline:difference", DIFFERENCE)
    given = {"PREFECT_API_URL": api, "PREFECT_API_AUTH_STRING": login(home)}
    delivered = gitlab(folder, tmp_path / "delivered", "offline:deliver", environment=SMALL | given)
    assert delivered.status == 0, delivered.output[-6000:]
    assert_ran(delivered, "offline:deliver", [f"make deliver-{step}" for step in DELIVERY])
    assert_delivered(load_settings(folder), server, tmp_path)
