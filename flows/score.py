"""`score`: every partition that no model has scored yet, by the champion; and profiles of what it saw."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows._console import track
from flows._project import IO_RETRIES, Project, open_project
from flows._remote import BatchService
from har.inference import Classifier, granted_cores
from har.monitoring import Profiler, Profiles
from har.scoring import Chunk, ChunkReport, pending, plan, score_chunk
from har.summary import outdated, write_summary


@dataclass(frozen=True)
class ScoreReport:
    """What a run of `score` did."""

    model_version: int
    samples_version: int
    days: int
    partitions: int
    windows: int
    seconds: float
    summaries: tuple[Path, ...] = ()


@task(name="score-chunk", task_run_name="score {chunk.partitions[0][0]} ({chunk.samples} samples)", **IO_RETRIES)
def score_partitions(
    project: Project,
    classifier: Classifier,
    model_version: int,
    chunk: Chunk,
    service: BatchService | None,
    profiler: Profiler | None,
) -> ChunkReport:
    """Score some partitions, here or by the service, profile what the model saw, and commit both."""
    return score_chunk(
        project.lake,
        project.settings,
        classifier,
        model_version,
        chunk,
        elsewhere=service.predict if service else None,
        keeper=profiler,
    )


@task(name="check-service", **IO_RETRIES)
def check_service(service: BatchService) -> None:
    """Refuse a batch service that does not serve the champion."""
    service.require_champion()


@task(name="remove-old-profiles", **IO_RETRIES)
def remove_old_profiles(project: Project) -> int:
    """Delete the profiles of days older than monitoring.keep_days."""
    return Profiles(project.lake).remove_old(project.settings.monitoring.keep_days)


@task(name="summarise", **IO_RETRIES)
def summarise_dates(project: Project, dates: list[dt.date]) -> list[Path]:
    """Write each date's activity summary."""
    return [write_summary(project.lake, project.settings, date) for date in dates]


@flow(name="score", task_runner=ThreadPoolTaskRunner(max_workers=granted_cores()))  # type: ignore[arg-type]
def score(date: dt.date | None = None, rescore: bool = False) -> ScoreReport:
    """Score what is new, then write predictions and each day's summary.

    Where `scoring.service` names a batch bento, it predicts in place of this process, with the same results.

    Args:
        date: this date only; by default every date with something to score.
        rescore: also what another version than the champion scored, and what has no profile.
    """
    began = dt.datetime.now(dt.UTC)
    project = open_project()
    champion = project.registry.champion()
    settings = project.settings
    classifier = Classifier(project.registry.model_path(champion.number), threads=1, arena=True)
    classifier.metadata.require(where=f"model version {champion.number}", **settings.model_input)
    profiler = None
    if settings.monitoring.enabled:
        profiler = Profiler(project.lake, settings, classifier.metadata.feature_names, champion.number)
    service = None
    if settings.scoring.service:
        service = BatchService(settings, champion.number, profiler.features if profiler else ())
    if service:
        check_service(service)
    samples_version = project.lake.samples.version()
    profiled = Profiles(project.lake).done(champion.number, settings.monitoring.keep_days) if profiler else None
    chunks = plan(project.lake, pending(project.lake, champion.number, date=date, rescore=rescore, profiled=profiled))
    runs = [score_partitions.submit(project, classifier, champion.number, chunk, service, profiler) for chunk in chunks]
    reports = [run.result() for run in track(runs, "Scoring", unit="chunks")]
    if profiler and chunks:
        remove_old_profiles(project)
    dates = outdated(project.lake, settings)
    summaries = summarise_dates(project, dates) if dates else []
    report = ScoreReport(
        model_version=champion.number,
        samples_version=samples_version,
        days=len({when for chunk in chunks for when, _ in chunk.partitions}),
        partitions=sum(done.partitions for done in reports),
        windows=sum(done.windows for done in reports),
        seconds=(dt.datetime.now(dt.UTC) - began).total_seconds(),
        summaries=tuple(summaries),
    )
    create_table_artifact(
        key="score-run",
        table=[{name: str(value) for name, value in vars(report).items() if name != "summaries"}],
        description="What the last scoring run did.",
    )
    if summaries:
        create_markdown_artifact(
            key="activity-summaries",
            markdown="\n".join(f"- [{path.stem}]({path.as_uri()})" for path in summaries),
            description="Minutes per activity and subject, one page a date.",
        )
    return report
