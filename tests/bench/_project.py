"""A project for the online benchmark: its settings, a model of one 128×6 window, and the package of it in a store."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from har.dataset import load_windows
from har.experiment import describe
from har.inference import MagnitudeRule, Package
from har.lake import Lake
from har.settings import FILE_NAME, Settings, load_settings
from har.training import FitOptions, Signal, export, fit
from infra.bentoml.store import environment
from tests.bench._lake import generate
from tests.bench._server import ROOT

LENGTH = 128
"""Samples per window, as in most published figures."""
_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Project:
    """A project that only serves.

    Attributes:
        settings: of windows of 128 samples.
        model: the champion's file.
        environment: variables that make `bentoml serve` serve it.
        journal: where the prediction log goes.
    """

    settings: Settings
    model: Path
    environment: dict[str, str]
    journal: Path

    @property
    def channels(self) -> int:
        """Per sample."""
        return len(self.settings.sensors.channels)

    def empty_journal(self) -> None:
        """Remove what `har collect` would have taken away: all but the newest file."""
        files = sorted(self.journal.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-1]:
            path.unlink()


def with_length(settings: Settings, length: int) -> Settings:
    """The same project with windows of `length` samples and half overlap."""
    windows = settings.windows.model_copy(update={"length_s": length / settings.sensors.rate_hz, "overlap": 0.5})
    return settings.model_copy(update={"windows": windows})


def make(folder: Path) -> Project:
    """A project like this one with windows of 128 samples; how well its model learned does not matter to its speed."""
    root = folder / "project"
    root.mkdir()
    (root / FILE_NAME).write_bytes((ROOT / FILE_NAME).read_bytes())
    settings = with_length(load_settings(root), LENGTH)
    lake = Lake(root / "lake", settings.sensors.channels)
    generate(lake, settings, _SAMPLES)
    windows = load_windows(lake, settings)
    windows = windows.select(np.flatnonzero(windows.labels >= 0)[::10])
    subjects = sorted(set(windows.subjects))
    signal = Signal.from_settings(settings)
    fitted = fit(windows, subjects[:-2], subjects[-2:], signal=signal, options=FitOptions(epochs=1))
    metadata = describe(settings, fitted, git_commit="", data_version="generated", split_id="")
    model = export(fitted, folder / "model.onnx", metadata)
    values = np.concatenate([windows.batch(slice(n, n + 64)) for n in range(0, len(windows), 64)])
    rule = MagnitudeRule.fit(values, windows.labels, units=metadata.units, activities=metadata.activities)
    Package.write(folder / "package", model=model, version=1, previous=None, shadow=None, rule=rule)
    variables = {
        **environment(folder / "store"),
        "HAR_ROOT": str(root),
        "HAR_WINDOWS__LENGTH_S": str(settings.windows.length_s),
        "HAR_WINDOWS__OVERLAP": "0.5",
        "HAR_SERVING__WORKERS": "1",
    }
    arguments = [settings.project.name, "bench", folder / "package", ROOT, folder / "tags.json"]
    subprocess.run(
        [sys.executable, "-m", "infra.bentoml.build", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **variables},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return Project(settings, model, variables, settings.path("journal"))
