"""What every test folder shares: a project of its own in a temporary folder, whatever this project's har.toml says."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests_support import HAR_TOML, write_recording

from har.lake import Lake
from har.settings import Settings, load_settings

for _name in [name for name in os.environ if name.startswith("HAR_")]:
    del os.environ[_name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project's folder with the settings above; commands run in this test find it."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "har.toml").write_text(HAR_TOML)
    monkeypatch.setenv("HAR_ROOT", str(root))
    return root


@pytest.fixture
def settings(project: Path) -> Settings:
    """The settings of `project`."""
    return load_settings(project)


Put = Callable[..., Path]


@pytest.fixture
def put(project: Path) -> Put:
    """`write_recording` into the inbox of `project`."""
    return partial(write_recording, project / "data" / "inbox")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """The empty lake of `project`."""
    return Lake(settings.path("lake"), settings.sensors.channels)
