"""A project that only answers streams: this one's settings, a model of its windows in a registry, empty folders."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from har.dataset import load_windows
from har.experiment import describe
from har.lake import Lake
from har.recipe import Recipe
from har.registry import Registry
from har.settings import FILE_NAME, Settings, load_settings
from har.training import FitOptions, Signal, export, fit
from infra.local.environment import quiet_environment
from tests.bench._lake import generate
from tests.bench._server import ROOT

_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Streamed:
    """The project.

    Attributes:
        root: its folder.
        settings: without those of a run.
        model: the champion's file.
    """

    root: Path
    settings: Settings
    model: Path
    _runs: itertools.count[int] = field(default_factory=itertools.count)

    def run(self, sources: str, **stream: object) -> Run:
        """Settings of a run, with a store and a lake of its own.

        Args:
            sources: of `stream.sources`, as JSON.
            stream: further settings of the section `[stream]`; `mqtt__address` is one of `[stream.mqtt]`.
        """
        folder = self.root / f"run-{next(self._runs)}"
        folder.mkdir()
        variables = {
            "HAR_ROOT": str(self.root),
            "HAR_STREAM__SOURCES": sources,
            "HAR_PATHS__STREAM": str(folder / "stream"),
            "HAR_PATHS__LAKE": str(folder / "lake"),
            "HAR_PATHS__QUARANTINE": str(folder / "quarantine"),
            **{f"HAR_STREAM__{name.upper()}": str(value) for name, value in stream.items()},
        }
        return Run(folder, variables, self.settings)


@dataclass(frozen=True)
class Run:
    """One run: its folder, and the variables that its processes get beside the usual ones."""

    folder: Path
    variables: dict[str, str]
    settings: Settings

    @property
    def stream(self) -> Path:
        """Where the store is."""
        return self.folder / "stream"

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes: no setting of the caller's is among them."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("HAR_", "MLFLOW_"))}
        return {**own, **quiet_environment(), "PYTHONPATH": str(ROOT), **self.variables}


def make(folder: Path) -> Streamed:
    """Make the project; how well its model learned does not matter to its speed."""
    root = folder / "project"
    root.mkdir(parents=True)
    (root / FILE_NAME).write_bytes((ROOT / FILE_NAME).read_bytes())
    settings = load_settings(root)
    lake = Lake(folder / "lake", settings.sensors.channels)
    generate(lake, settings, _SAMPLES)
    windows = load_windows(lake, settings)
    windows = windows.select(np.flatnonzero(windows.labels >= 0)[::10])
    subjects = sorted(set(windows.subjects))
    signal = Signal.from_settings(settings)
    fitted = fit(windows, subjects[:-2], subjects[-2:], signal=signal, options=FitOptions(epochs=1))
    metadata = describe(settings, fitted, git_commit="", data_version="generated", split_id="")
    model = export(fitted, folder / "model.onnx", metadata)
    registry = Registry(settings.path("mlflow"), settings.project.name)
    recipe = Recipe(settings.model_dump(mode="json"), "lake", 0, {}, settings.training.network, 0)
    version = registry.register(model, params={}, metrics={}, recipe=recipe, report=None, tags={})
    registry.promote(version.number, reason="for the benchmark", who="bench")
    return Streamed(root, settings, model)
