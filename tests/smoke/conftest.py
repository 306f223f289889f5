"""The project that these tests belong to, without settings from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from har.settings import Settings, load_settings

for _name in [name for name in os.environ if name.startswith("HAR_")]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def own_settings(root: Path) -> Settings:
    """What the project's har.toml says."""
    return load_settings(root)
