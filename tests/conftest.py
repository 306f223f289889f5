"""Fixtures of all tests: a separate project in a temporary folder, independent of this project's har.toml."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests_support import HAR_TOML, write_recording

from har.lake import Lake
from har.settings import Settings, load_settings

for _name in [name for name in os.environ if name.startswith("HAR_")]:
    del os.environ[_name]


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
