"""The online pipeline for real: act and gitlab-ci-local run its steps in order, and it delivers to a running service.

The service of the installation serves version 1, and a client asks it all the time; the pipeline brings version 2.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from delivery_support import INSTALLATION, ROOT, Run, act, commit, copy_project, environment_for, gitlab, gitlab_files
from osv_support import Database, osv
from release_support import Client, site
from serving_support import eventually

from har.jobs.ingest import ingest
from har.jobs.package import package
from har.jobs.train import train
from har.project import Project
from har.settings import Settings, load_settings
from infra.bentoml.bentos import ProjectBentos
from infra.delivery._sample import sample_project
from infra.delivery._step import RESULTS
from infra.delivery.online.smoke import ask, client, known_windows

pytestmark = [pytest.mark.release, pytest.mark.timeout(3000)]

QUICK = {
    "HAR_RELEASE__STEPS": "[0.5, 1.0]",
    "HAR_RELEASE__DWELL_S": "3",
    "HAR_RELEASE__REQUESTS": "20",
    "HAR_RELEASE__KEEP_FORMER_S": "3",
    "HAR_RELEASE__HOLD_H": "0.1",
}
"""Steps of a release for a trial of minutes."""
SMALL = {"TESTS": "tests/smoke/test_project.py", "ENGINE": os.environ.get("ENGINE", "none"), **QUICK}
"""The tests of a few seconds; and images only where the person who runs this names an engine that can build them."""

CI = {
    "lint": ["make lint", "make unchanged"],
    "test": ["make test-online", "make unchanged"],
    "contract": ["make contract"],
    "service": [
        f"make {step}" for step in ("candidate-sample", "service-image", "service-sbom", "service-scan", "staging")
    ],
}
DELIVER = [f"make {step}" for step in ("candidate", "service-image", "staging", "release", "smoke")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project."""
    if not (ROOT / ".github" / "workflows" / "online-ci-cd.yml").is_file() and not gitlab_files(ROOT):
        pytest.skip("this project has no CI service")
    folder = copy_project(tmp_path_factory.mktemp("delivery") / "source")
    for name, content in gitlab_files(ROOT).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    ignored = folder / ".gitignore"
    ignored.write_text(ignored.read_text() + "/.gitlab-ci-local/\n")
    commit(folder, "with GitLab's files")
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation has besides the code: version 1, which is served, and version 2, the champion."""
    folder = tmp_path_factory.mktemp("installed") / "project"
    shutil.copytree(source, folder, symlinks=True)
    settings = load_settings(folder)
    sample_project(settings, folder)

    def quick(epochs: int) -> Project:
        content = settings.model_dump(mode="json", exclude={"root"})
        return Project(Settings.from_values({**content, "training": {"epochs": epochs, "device": "cpu"}}, root=folder))

    project = quick(3)
    ingest(project)
    for version in (1, 2):
        trained = train(project)
        assert trained.version == version
        if not trained.promoted:
            project.registry.promote(version, reason="for the trial", who="test")
        if version == 1:
            package(project, ProjectBentos.of(settings))
            project = quick(4)
    return folder


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A database of vulnerabilities that knows nothing bad about our packages."""
    with osv() as found:
        yield found


def install(installed: Path, target: Path) -> None:
    """Put data, models and bentos into the folder of a runner of one's own."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("lake", "mlruns", "data", ".bentoml"):
        shutil.copytree(installed / name, target / name, symlinks=True)
    shutil.copy2(installed / "har.toml", target / "har.toml")


def assert_ran(run: Run, job: str, expected: list[str]) -> None:
    """All these make targets ran in this order, and none failed."""
    steps = run.of(job)
    assert [name for name, _ in steps if name.startswith("make ")] == expected, run.output[-4000:]
    assert {result for _, result in steps} == {"success"}, run.output[-4000:]


def asking(address: str, root: Path) -> Client:
    """A client that asks for the windows of this project all the time."""
    metadata = Project(load_settings(root)).classifier(1).metadata
    return Client(address, known_windows(metadata, 1))


def assert_released(root: Path, asked: Client) -> None:
    """Version 2 serves, no request failed, and the log says who released it, and why."""
    eventually(lambda: asked.answers[-1][1] == 2, 30)
    assert asked.failures == []
    assert asked.versions() == {1, 2}
    lines = [json.loads(line) for line in (root / ".bentoml" / "releases.jsonl").read_text().splitlines()]
    assert [line["what"] for line in lines if line["what"] != "held"] == [
        "started",
        *["advanced"] * 3,
        "promoted",
        "ended",
    ]
    assert "commit " in lines[0]["sentence"]
    assert lines[-1]["outcome"] == "promoted"
    assert json.loads((root / RESULTS / "candidate.json").read_text())["version"] == 2


def test_github_runs_everything_on_main_and_releases(
    source: Path, installed: Path, database: Database, tmp_path: Path
) -> None:
    home = tmp_path / "run" / INSTALLATION
    install(installed, home)
    with site(home) as address:
        asked = asking(address, home)
        eventually(asked.reaches, 120)
        with asked:
            run = act(
                source,
                "online-ci-cd.yml",
                "push",
                tmp_path / "run",
                environment=SMALL | database.environment(),
                variables={"ADDRESS": address},
            )
            assert run.status == 0, run.output[-6000:]
            assert_released(home, asked)
        with client(address) as service:
            assert ask(service, asked.windows).json()["model_version"] == 2
    for job, expected in CI.items():
        assert_ran(run, job, expected)
    assert_ran(run, "deliver", DELIVER)
    assert "online.cdx.json | " in (run.artifacts / "service" / "scan.md").read_text()
    assert any(name.startswith("onnxruntime ") for name in database.asked)


@pytest.fixture
def clone(source: Path, tmp_path: Path) -> Path:
    """A runner's folder with an environment; skips where GitLab's pipelines cannot run."""
    if not gitlab_files(ROOT):
        pytest.skip("this project has no GitLab pipelines")
    if shutil.which("rsync") is None:
        pytest.skip("gitlab-ci-local needs rsync")
    folder = tmp_path / "project"
    subprocess.run(["git", "clone", "--quiet", source, folder], check=True)
    environment_for(folder, tmp_path / "scripts")
    return folder


def test_gitlab_checks_the_same(clone: Path, database: Database, tmp_path: Path) -> None:
    jobs = [f"online:{job}" for job in CI]
    run = gitlab(clone, tmp_path / "run", *jobs, environment=SMALL | database.environment())
    assert run.status == 0, run.output[-6000:]
    for job, expected in CI.items():
        ran = [name for name, _ in run.of(f"online:{job}") if name.startswith("make ")]
        if job == "test":  # both Pythons at the same time
            assert sorted(ran) == sorted(expected * 2), run.output[-4000:]
        else:
            assert ran == expected, run.output[-4000:]


def test_gitlab_releases_the_same(clone: Path, installed: Path, tmp_path: Path) -> None:
    install(installed, clone)
    with site(clone) as address:
        asked = asking(address, clone)
        eventually(asked.reaches, 120)
        with asked:
            given = {**SMALL, "ADDRESS": address}
            delivered = gitlab(clone, tmp_path / "delivered", "online:deliver", environment=given)
            assert delivered.status == 0, delivered.output[-6000:]
            assert_released(clone, asked)
    assert_ran(delivered, "online:deliver", DELIVER)
