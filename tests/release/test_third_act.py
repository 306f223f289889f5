"""The demo's third act on two small versions: one is released under load, a broken build of the other taken back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from page_support import Page
from serving_support import make_rule, movements, train_model, write_settings
from tests_support import copy_code, example_recipe

from har.inference import Package
from har.jobs.package import TAGS
from har.project import Project
from har_cli.demo import _third_act
from infra.bentoml.bentos import ProjectBentos
from infra.local.third_party import installed

NAME = "test-project"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two registered and packaged versions; the second is the champion."""
    folder = tmp_path_factory.mktemp("act")
    root = folder / "project"
    settings = write_settings(root)
    copy_code(root)
    bentos = ProjectBentos(root, settings.path("bentoml"))
    project = Project(settings)
    models = {number: train_model(folder / f"{number}.onnx", seed=number) for number in (1, 2)}
    for number, model in models.items():
        previous = (models[1], 1) if number == 2 else None
        package = Package.write(
            folder / f"package{number}", model=model, version=number, previous=previous, shadow=None, rule=make_rule()
        )
        key = f"v{number}-{number:08x}"
        with bentos.lock():
            bentos.build(NAME, key, package.model.parent, ("bentofile.yaml",))
        found = project.registry.register(
            model, params={}, metrics={"accuracy": 0.95}, recipe=example_recipe(seed=number), report=None, tags={}
        )
        project.registry.set_tags(found.number, {TAGS[0]: f"{NAME}-online:{key}", TAGS[1]: f"{NAME}-batch:{key}"})
        project.registry.promote(found.number, reason="better", who="test")
    return project


@pytest.mark.release
@pytest.mark.stack
@pytest.mark.timeout(900)
@pytest.mark.skipif(installed("haproxy") is None, reason="needs HAProxy (apt-get install haproxy)")
def test_the_new_version_serves_in_the_end_and_the_broken_build_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project.settings.root
    monkeypatch.setenv("HAR_ROOT", str(root))
    windows = {f"s{number:02d}": movements(8, seed=number) for number in range(10)}
    monkeypatch.setattr(_third_act, "_windows", lambda _: windows)
    before = {path.relative_to(root) for path in project.settings.path("bentoml").rglob("*")}
    figures = _third_act.run_third_act(project)
    assert figures["release_promoted"] == 1
    assert figures["release_failed"] == 0
    assert figures["broken_taken_back"] == 1
    assert figures["broken_failed"] > 0
    assert figures["broken_failed_after"] == 0
    assert figures["broken_reaction_s"] < 10, "generous for a busy machine; about a second on an idle one"
    reports = project.settings.path("reports")
    good, bad = (
        Page(next((reports / "releases").glob(f"v{number}-*.html")).read_text(encoding="utf-8")) for number in (2, 1)
    )
    assert "promoted Version 2 serves everybody in place of version 1." in good.words
    assert "rolled back Version 2 serves everybody." in bad.words
    assert len([link for link in Page((reports / "index.html").read_text()).links if "releases/" in link]) == 2
    # Nothing that serves this project was touched.
    assert {path.relative_to(root) for path in project.settings.path("bentoml").rglob("*")} == before
    assert not (root / ".prefect" / "demo-release").exists()
    assert project.registry.champion().number == 2
    assert "HAR_PATHS__BENTOML" not in os.environ


def test_without_haproxy_it_says_so_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_third_act, "installed", lambda _: None)
    assert _third_act.run_third_act(Project(write_settings(tmp_path))) == {}
    assert "Skipped: HAProxy is not installed" in capsys.readouterr().err
