"""Cross-validate by subject on the lake's labelled windows; writes the figures and a page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from har.console import console
from har.dataset import load_windows, recording_names
from har.engine import Each, engine_of
from har.evaluation import RESAMPLES
from har.experiment import labelled
from har.jobs._cross_validation import CrossValidation, cross_validate, evaluate_fold
from har.jobs._folds import KeptFolds
from har.lake import require_samples
from har.pages import write_index, write_report
from har.project import Project
from har.registry import git_state
from har.settings import check_network
from har.training import FitOptions, Signal
from har.training.networks import configured, find_network, network_source
from har.windows import WindowSet

__all__ = ["CrossValidation", "cross_validate", "evaluate", "evaluate_fold"]


@dataclass(frozen=True)
class LakeWindows:
    """The labelled windows of a lake at one version, loaded once per process."""

    project: Project
    version: int
    labels_version: int

    def __call__(self) -> WindowSet:
        """The windows.

        Raises:
            NotEnoughDataError: there are none.
        """
        return _windows(self)


@dataclass(frozen=True)
class Parameters:
    """The parameters of a cross-validation; the same parameters give the same figures.

    Attributes:
        project: its settings and lake.
        network: the network's name.
        folds: number of folds by subject.
        seeds: number of seeds, from 0.
        resamples: of the bootstrap over subjects.
        version: of the table `samples`.
        labels_version: of the table `labels`; -1: there is none.
        decided_by: what decides about a single fold: settings, network and data.
        key: sixteen hexadecimal digits that identify these parameters.
    """

    project: Project
    network: str
    folds: int
    seeds: int
    resamples: int
    version: int
    labels_version: int
    decided_by: list[Any]
    key: str

    def __str__(self) -> str:
        return f"{self.network}, {self.folds} folds, {self.seeds} seeds"


def evaluate(
    project: Project,
    *,
    network: str | None = None,
    folds: int | None = None,
    seeds: int = 3,
    resamples: int = RESAMPLES,
    each: Each | None = None,
) -> dict[str, Any]:
    """Cross-validate by subject; if the report of the same parameters and data exists, return its figures.

    Args:
        project: its settings and lake.
        network: a network's name; by default har.toml's.
        folds: by default har.toml's.
        seeds: number of seeds, from 0.
        resamples: of the bootstrap over subjects.
        each: how to run the folds of all seeds, and a large bootstrap; by default the project's engine.

    Returns:
        The headline figures, one level deep, as in `reports/evaluation.json`.
    """
    require_samples(project.lake)
    project.lake.labels.require_all_commits()
    parameters = _parameters(project, network, folds, seeds, resamples)
    report = project.settings.path("reports") / "evaluation.json"
    flat: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    if flat.get("key") == parameters.key:
        console.print(f"{report} has these figures already: nothing to train.")
        return flat
    return _cross_validation(parameters, each or engine_of(project.settings, thread_safe=False))


def _cross_validation(parameters: Parameters, each: Each) -> dict[str, Any]:
    """Train every fold under every seed, and write `evaluation.json` and `.html`."""
    project, settings = parameters.project, parameters.project.settings
    version, training = parameters.version, settings.training
    kept = KeptFolds(each, settings.path("runs"), parameters.decided_by)
    result = cross_validate(
        LakeWindows(project, version, parameters.labels_version),
        signal=Signal.from_settings(settings),
        options=FitOptions(
            parameters.network,
            0,
            training.epochs,
            training.batch_size,
            training.device,
            root=settings.root,
            values=training.values_of(parameters.network),
        ),
        folds=parameters.folds,
        seeds=range(parameters.seeds),
        validation=settings.split.validation,
        resamples=parameters.resamples,
        each=kept,
        recordings=recording_names(project.lake, version=version),
    )
    flat = {**result.flat(), "samples_version": version, "key": parameters.key}
    write_report(
        result.evaluation,
        settings.path("reports") / "evaluation",
        title=f"{settings.project.name}: cross-validation by subject",
        facts={
            "Network": parameters.network,
            "Data": f"samples@{version} ({result.flat()['windows']} labelled windows)",
            "Scheme": f"GroupKFold({parameters.folds}) by subject, {parameters.seeds} seeds",
            "Mean accuracy": f"{flat['accuracy']:.2%} ± {flat['accuracy_std']:.2%} over seeds",
        },
        figures=flat,
    )
    write_index(settings.path("reports"), title=settings.project.name)
    kept.forget()
    return flat


@lru_cache(maxsize=1)
def _windows(source: LakeWindows) -> WindowSet:
    project = source.project
    return labelled(
        load_windows(project.lake, project.settings, version=source.version, labels_version=source.labels_version)
    )


def _parameters(project: Project, network: str | None, folds: int | None, seeds: int, resamples: int) -> Parameters:
    settings = project.settings
    network, folds = check_network(network or settings.training.network, settings.root), folds or settings.split.folds
    configured(find_network(network, settings.root), settings.training.values_of(network))
    version, labels = project.lake.samples.version(), project.lake.labels.version()
    values = settings.model_dump(mode="json", include={"sensors", "windows", "activities", "split", "training"})
    decided_by = [values, network, network_source(network, settings.root), version, labels]
    content = [decided_by, folds, seeds, resamples, git_state(settings.root).commit]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return Parameters(project, network, folds, seeds, resamples, version, labels, decided_by, key)
