"""The whole loop in a project below folders whose names are escaped in addresses, and have a meaning in patterns."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from days_support import FIRST, record
from run_support import ingest, monitor, score, train

from har.jobs._contents import choose, write_package
from har.jobs.check import check
from har.project import open_project


@pytest.mark.stack
@pytest.mark.parametrize("place", ["Meine Übung #1", "100% a+b=🏃? {x} *"])
def test_every_job_works_there(veteran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    root = tmp_path / place / "project"
    shutil.copytree(veteran, root)
    monkeypatch.setenv("HAR_ROOT", str(root))
    record(root, FIRST)
    assert len(ingest().landed) == 12
    assert len(ingest().known) == 36
    assert score().partitions == 18
    assert score().partitions == 0
    assert [day.date for day in monitor().days] == [FIRST]
    report = train(seed=7)
    assert report.version == 2
    project = open_project()
    assert report.page == root / "reports" / "model-2.html"
    assert project.registry.model_path(2).is_relative_to(root)
    write_package(tmp_path / "package", project.registry, project.lake, choose(project.registry))
    assert check(project, mend=True).findings == ()
    assert {path.name for path in tmp_path.iterdir()} == {place, "package"}
