"""Cross-validate by subject on what the lake holds; the figures and a page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from har.console import bar, console
from har.dataset import load_windows
from har.experiment import labelled
from har.jobs._cross_validation import CrossValidation, Progress, cross_validate
from har.jobs._each import Each, in_turn, once
from har.pages import write_index, write_report
from har.project import Project
from har.registry import git_state
from har.training import Signal

__all__ = ["CrossValidation", "Progress", "cross_validate", "cross_validation", "evaluate"]


@dataclass(frozen=True)
class Question:
    """What decides the figures of a cross-validation.

    Attributes:
        project: its settings and lake.
        network: a network's name.
        folds: by subject.
        seeds: how many, from 0.
        version: of `samples`.
        labels_version: of `labels`, -1: none.
        key: sixteen hexadecimal digits that name exactly this question.
    """

    project: Project
    network: str
    folds: int
    seeds: int
    version: int
    labels_version: int
    key: str

    def __str__(self) -> str:
        return f"{self.network}, {self.folds} folds, {self.seeds} seeds"


def evaluate(
    project: Project, *, network: str | None = None, folds: int | None = None, seeds: int = 3, each: Each = in_turn
) -> dict[str, Any]:
    """Cross-validate by subject; the same question on the same data is answered from the report.

    Args:
        project: its settings and lake.
        network: a network's name; by default har.toml's.
        folds: by default har.toml's.
        seeds: how many seeds, from 0.
        each: how to run the cross-validation.

    Returns:
        The headline figures, one level deep, as in `reports/evaluation.json`.
    """
    question = _question(project, network, folds, seeds)
    known = project.settings.path("reports") / "evaluation.json"
    flat: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    if flat.get("key") == question.key:
        console.print(f"{known} answers this already: nothing to train.")
        return flat
    return once(each, cross_validation, question)


def cross_validation(question: Question) -> dict[str, Any]:
    """Train every fold under every seed, and write `evaluation.json` and `.html`."""
    project, settings = question.project, question.project.settings
    version = question.version
    windows = labelled(load_windows(project.lake, settings, version=version, labels_version=question.labels_version))
    with bar("Cross-validation", question.folds * question.seeds, "folds") as advance:
        result = cross_validate(
            windows,
            signal=Signal.from_settings(settings),
            network=question.network,
            folds=question.folds,
            seeds=range(question.seeds),
            epochs=settings.training.epochs,
            batch_size=settings.training.batch_size,
            device=settings.training.device,
            validation=settings.split.validation,
            on_progress=lambda step: None if step.accuracy is None else advance(f"accuracy {step.accuracy:6.1%}"),
        )
    flat = {**result.flat(), "samples_version": version, "key": question.key}
    write_report(
        result.evaluation,
        settings.path("reports") / "evaluation",
        title=f"{settings.project.name}: cross-validation by subject",
        facts={
            "Network": question.network,
            "Data": f"samples@{version} ({result.flat()['windows']} labelled windows)",
            "Scheme": f"GroupKFold({question.folds}) by subject, {question.seeds} seeds",
            "Mean accuracy": f"{flat['accuracy']:.2%} ± {flat['accuracy_std']:.2%} over seeds",
        },
        figures=flat,
    )
    write_index(settings.path("reports"), title=settings.project.name)
    return flat


def _question(project: Project, network: str | None, folds: int | None, seeds: int) -> Question:
    settings = project.settings
    network, folds = network or settings.training.network, folds or settings.split.folds
    values = settings.model_dump(mode="json", include={"sensors", "windows", "activities", "split", "training"})
    commit = git_state(settings.root).commit
    version, labels = project.lake.samples.version(), project.lake.labels.version()
    content = [values, network, folds, seeds, version, labels, commit]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return Question(project, network, folds, seeds, version, labels, key)
