"""`collect`: what the online service logged goes into the lake: predictions, what they were made from, and feedback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, State
from rich.markup import escape

from flows._console import console, track
from flows._project import IO_RETRIES, Project, open_project
from har.collection import CollectReport, collect_files, plan
from har.inference import Classifier
from har.monitoring.profiles import chosen_features, profile_online


@task(name="collect-chunk", task_run_name="collect from {files[0].name}", **IO_RETRIES)
def collect_chunk(project: Project, files: list[Path]) -> CollectReport:
    """Collect some files of the prediction log and commit them."""
    return collect_files(project.lake, files)


@task(name="profile-online", **IO_RETRIES)
def profile_answers(project: Project) -> int:
    """Profile what the service's models saw, where windows have come that no profile holds yet."""
    settings = project.settings
    versions = project.lake.requests.scan().select(pl.col("model_version").unique()).collect()["model_version"]
    registered = {version.number for version in project.registry.versions()}
    features = {}
    for number in sorted(registered.intersection(versions.to_list())):
        names = Classifier(project.registry.model_path(number), threads=1).metadata.feature_names
        features[number] = (names, chosen_features(names, settings.monitoring))
    return profile_online(project.lake, features, keep_days=settings.monitoring.keep_days) if features else 0


@flow(name="collect")
def collect() -> State[Any]:
    """Bring the prediction log into the lake, each line exactly once, and remove what is complete.

    Safe at any time, also while the service writes and after a run that was killed. The run ends as `Completed`, or as
    `CompletedWithWarnings` where lines cannot be read.
    """
    project = open_project()
    report = CollectReport()
    for chunk in track(plan(project.settings), "Collecting", unit="chunks"):
        report.add(collect_chunk(project, chunk))
    if project.settings.monitoring.enabled:
        profile_answers(project)
    create_table_artifact(
        key="collect-run",
        table=[{name: value for name, value in vars(report).items() if name != "bad"} | {"bad": len(report.bad)}],
        description="What the last run took from the prediction log.",
    )
    if not report.bad:
        return Completed(message=f"{report.requests} windows, {report.labels} labels.", data=report)
    create_table_artifact(
        key="prediction-log-bad-lines",
        table=[
            {"file": bad.file, "line": bad.line, "reason": bad.reason, "now at": str(bad.now_at)} for bad in report.bad
        ],
        description="Lines that cannot be read. Mend them and rename the file to .jsonl to collect them.",
    )
    for bad in report.bad:
        line = escape(f"{bad.file}, line {bad.line}: {bad.reason}")  # a reason quotes what may look like markup
        console.print(f"[yellow]set aside[/] {line}", highlight=False)
    return Completed(
        name="CompletedWithWarnings",
        message=f"{len(report.bad)} lines cannot be read; they lie beside the log: "
        + ", ".join(f"{bad.file}:{bad.line}" for bad in report.bad[:5]),
        data=report,
    )
