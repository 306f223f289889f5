"""What every job opens first: this project's settings, lake and registry."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from har.errors import NoChampionError
from har.inference import Classifier
from har.lake import Lake
from har.registry import Registry, Version
from har.settings import Settings, load_settings
from har.storage import use_service


@dataclass(frozen=True)
class Project:
    """Settings, and what they point to.

    A project travels to other processes as its settings alone. Whoever unpickles it there twice gets the same object,
    so that the lake, the registry and the models are opened once per process.
    """

    settings: Settings

    def __reduce__(self) -> tuple[Callable[[Settings], Project], tuple[Any, ...]]:
        """Pickle the settings only."""
        return _opened_here, (self.settings,)

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        small_files = self.settings.maintenance.small_files
        return Lake(self.settings.location("lake"), self.settings.sensors.channels, small_files=small_files)

    @cached_property
    def registry(self) -> Registry:
        """The registered models."""
        settings = self.settings
        return Registry(settings.path("mlflow"), settings.project.name, artifacts=settings.artifacts)

    @property
    def champion(self) -> Version | None:
        """The version that serves; None before the first. `registry.champion()` raises instead."""
        try:
            return self.registry.champion()
        except NoChampionError:
            return None

    def classifier(self, version: int) -> Classifier:
        """A registered version's model, held to this project's settings, for one thread at a time of many.

        Raises:
            UnknownVersionError: no such version.
            ModelError: the model file cannot be read.
            ModelMismatchError: it was made for other settings than the project's.
        """
        classifier = _classifier(self.registry.model_path(version))
        classifier.metadata.require(where=f"model version {version}", **self.settings.model_input)
        return classifier


def open_project(root: Path | None = None) -> Project:
    """The project of `root`; by default of HAR_ROOT, or of the working directory or the nearest folder above it."""
    settings = load_settings(root)
    use_tracking(settings)
    return Project(settings)


def use_tracking(settings: Settings) -> None:
    """Let MLflow, here and in what this process starts, find its database and the object storage of the settings."""
    if settings.tracking.uri:
        os.environ.setdefault("MLFLOW_TRACKING_URI", settings.tracking.uri)
    use_service(settings.service)


@lru_cache(maxsize=4)
def _opened_here(settings: Settings) -> Project:
    use_tracking(settings)
    return Project(settings)


@lru_cache(maxsize=4)
def _classifier(path: Path) -> Classifier:
    return Classifier(path, threads=1, arena=True)
