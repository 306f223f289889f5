"""What every flow opens first: this project's settings, lake and registry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import State
from prefect.variables import Variable

from flows._environment import use_tracking
from har.errors import HarError
from har.lake import Lake
from har.registry import Registry, Version
from har.settings import Settings, load_settings

FAILED = "failed: "
"""So begins the outcome of a decision whose training ended badly and may be begun again."""


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


def open_project() -> Project:
    """The project of the working directory, or of HAR_ROOT."""
    settings = load_settings()
    use_tracking(settings.tracking.uri)
    return Project(settings)


def retraining_is_on() -> bool:
    """Whether trainings may start by themselves: `prefect variable set har_retraining off` forbids it at once."""
    value = Variable.get("har_retraining", default="on")
    return str(value).strip().lower() not in ("off", "false", "no", "0")


def is_transient(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: the disk or another writer, not bad data or a bug."""
    error = state.data
    return isinstance(error, OSError) or not isinstance(error, HarError | TypeError | ValueError | AssertionError)


IO_RETRIES: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 3,
    "retry_delay_seconds": [1, 4, 16],
    "retry_condition_fn": is_transient,
}
"""Settings of a task that reads or writes: four tries with growing pauses, if the failure can pass."""
