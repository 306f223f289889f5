"""`evaluate`: cross-validation by subject on what the lake holds, as figures and as a page."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows._console import bar, console
from flows._project import Project, open_project
from har.dataset import load_windows
from har.evaluation import cross_validate, write_report
from har.experiment import labelled
from har.registry import git_state
from har.settings import check_network
from har.training import Signal


@task(name="cross-validate", cache_policy=NO_CACHE)
def cross_validation(
    project: Project, network: str, folds: int, seeds: int, *, version: int, labels_version: int, key: str
) -> dict[str, Any]:
    """Train every fold under every seed, and write `evaluation.json` and `.html`."""
    settings = project.settings
    windows = labelled(load_windows(project.lake, settings, version=version, labels_version=labels_version))
    with bar("Cross-validation", folds * seeds, "folds") as advance:
        result = cross_validate(
            windows,
            signal=Signal.from_settings(settings),
            network=network,
            folds=folds,
            seeds=range(seeds),
            epochs=settings.training.epochs,
            batch_size=settings.training.batch_size,
            device=settings.training.device,
            validation=settings.split.validation,
            on_progress=lambda step: None if step.accuracy is None else advance(f"accuracy {step.accuracy:6.1%}"),
        )
    flat = {**result.flat(), "samples_version": version, "key": key}
    write_report(
        result.evaluation,
        settings.path("reports") / "evaluation",
        title=f"{settings.project.name}: cross-validation by subject",
        facts={
            "Network": network,
            "Data": f"samples@{version} ({result.flat()['windows']} labelled windows)",
            "Scheme": f"GroupKFold({folds}) by subject, {seeds} seeds",
            "Mean accuracy": f"{flat['accuracy']:.2%} ± {flat['accuracy_std']:.2%} over seeds",
        },
        figures=flat,
    )
    return flat


@flow(name="evaluate")
def evaluate(network: str | None = None, folds: int | None = None, seeds: int = 3) -> dict[str, Any]:
    """Cross-validate by subject; the same question on the same data is answered from the report.

    Args:
        network: its name, such as `spectral` or `dscnn`, or a Python file that holds one; by default har.toml's.
        folds: by default har.toml's.
        seeds: how many seeds, from 0.
    """
    project = open_project()
    settings = project.settings
    network, folds = check_network(network or settings.training.network), folds or settings.split.folds
    values = settings.model_dump(mode="json", include={"sensors", "windows", "activities", "split", "training"})
    commit = git_state(settings.root).commit
    version, labels = project.lake.samples.version(), project.lake.labels.version()
    question = [values, network, folds, seeds, version, labels, commit]
    key = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
    known = settings.path("reports") / "evaluation.json"
    flat: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    if flat.get("key") == key:
        console.print(f"{known} answers this already: nothing to train.")
    else:
        flat = cross_validation(project, network, folds, seeds, version=version, labels_version=labels, key=key)
    create_table_artifact(key="evaluation", table=[flat], description="Cross-validation by subject.")
    create_link_artifact(key="evaluation-report", link=known.with_suffix(".html").as_uri())
    return flat
