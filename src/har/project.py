"""What every job opens first: this project's settings, lake and registry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from har.lake import Lake
from har.registry import Registry, Version
from har.settings import Settings, load_settings


@dataclass(frozen=True)
class Project:
    """Settings, and what they point to."""

    settings: Settings

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        return Lake(self.settings.path("lake"), self.settings.sensors.channels)

    @cached_property
    def registry(self) -> Registry:
        """The registered models."""
        return Registry(self.settings.path("mlflow"), self.settings.project.name)


def current_champion(registry: Registry) -> Version | None:
    """The version that serves, None before the first."""
    return next((version for version in registry.versions() if "champion" in version.aliases), None)


def open_project(root: Path | None = None) -> Project:
    """The project of `root`; by default of HAR_ROOT, or of the working directory or the nearest folder above it."""
    settings = load_settings(root)
    use_tracking(settings.tracking.uri)
    return Project(settings)


def use_tracking(uri: str) -> None:
    """Let MLflow, here and in what this process starts, keep its versions at `uri`, unless it is empty."""
    if uri:
        os.environ.setdefault("MLFLOW_TRACKING_URI", uri)
