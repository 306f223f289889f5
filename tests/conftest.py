"""Fixtures of all tests: a separate project in a temporary folder, independent of this project's har.toml."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from days_support import FIRST, SUBJECTS, Live, record
from tests_support import HAR_TOML, write_recording

from har.lake import Lake
from har.project import Project, open_project
from har.settings import Settings, load_settings
from infra.local.environment import quiet_environment

for _name in [name for name in os.environ if name.startswith("HAR_")]:
    del os.environ[_name]
os.environ.update(quiet_environment(chatter=True))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty project; commands that the test runs find it."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "har.toml").write_text(HAR_TOML)
    monkeypatch.setenv("HAR_ROOT", str(root))
    return root


@pytest.fixture
def settings(project: Path) -> Settings:
    """The settings of `project`."""
    return load_settings(project)


Change = Callable[..., Settings]


@pytest.fixture
def change(settings: Settings) -> Change:
    """The project's settings with other values: `change(recordings={"time_unit": "ms"})`."""

    def changed(**sections: dict[str, Any]) -> Settings:
        content = settings.model_dump()
        for section, values in sections.items():
            for key, value in values.items():
                old = content[section].get(key)
                content[section][key] = {**old, **value} if isinstance(old, dict) and value else value
        return Settings(**content, root=settings.root)

    return changed


Put = Callable[..., Path]


@pytest.fixture
def put(project: Path) -> Put:
    """`write_recording` into the inbox of `project`."""
    return partial(write_recording, project / "data" / "inbox")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """The empty lake of `project`."""
    return Lake(settings.path("lake"), settings.sensors.channels)


@pytest.fixture
def two_days(settings: Settings) -> Settings:
    """A project with two days of six subjects in its inbox."""
    for day, names in (("2024-01-01", ("PEN", "ABD")), ("2024-01-02", ("ROW",))):
        for subject in SUBJECTS:
            for name in names:
                write_recording(settings.path("inbox"), day, subject, name.lower(), name, seconds=40)
    return settings


@pytest.fixture(scope="session")
def veteran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose champion was trained on two days of six subjects; to be copied."""
    from run_support import ingest, train

    root = tmp_path_factory.mktemp("veteran") / "project"
    root.mkdir()
    (root / "har.toml").write_text(HAR_TOML)
    for before in (6, 7):
        record(root, FIRST - dt.timedelta(days=before))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAR_ROOT", str(root))
        ingest()
        assert train().promoted
    return root


@pytest.fixture
def loop(veteran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of this test's own, with that champion and nothing monitored yet."""
    root = tmp_path / "project"
    shutil.copytree(veteran, root)
    monkeypatch.setenv("HAR_ROOT", str(root))
    return open_project()


@pytest.fixture
def live(loop: Project) -> Live:
    """Record a day (0: `FIRST`) in the project `loop`, as `record` does; ingest and score it."""
    from run_support import ingest, score

    def day_of(number: int, **how: Any) -> None:
        record(loop.settings.root, FIRST + dt.timedelta(days=number), **how)
        ingest()
        score()

    return day_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Here, `tests/end_to_end` and a generated project run what a project's smoke test of the loop runs."""
    for item in items:
        if item.path.parts[-2:] == ("smoke", "test_loop.py"):
            item.add_marker(pytest.mark.release)
