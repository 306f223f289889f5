"""`ingest`: what lies in the inbox goes into the lake, date by date; bad files go to quarantine."""

from __future__ import annotations

import datetime as dt
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, State
from rich.markup import escape

from flows._tasks import IO_RETRIES
from har.console import console, track
from har.jobs.ingest import IngestReport, ingest_files, plan, set_aside
from har.project import Project, open_project
from har.recordings import InboxFile, StrayFile


@task(name="ingest-chunk", task_run_name="ingest {files[0].date}", **IO_RETRIES)
def ingest_chunk(project: Project, files: list[InboxFile], replace: bool) -> IngestReport:
    """Ingest some subjects of one date."""
    return ingest_files(project.lake, project.settings, files, replace=replace)


@task(name="quarantine-strays", **IO_RETRIES)
def quarantine_strays(project: Project, strays: list[StrayFile]) -> IngestReport:
    """Set files aside whose names say nothing."""
    return set_aside(project.settings, strays)


@flow(name="ingest")
def ingest(date: dt.date | None = None, replace: bool = False) -> State[Any]:
    """Bring the inbox into the lake; files that are there already cost a look.

    The run ends as `Completed`, or as `CompletedWithWarnings` where files went to quarantine.

    Args:
        date: this date only; by default all.
        replace: a session that was ingested with other content is replaced.
    """
    project = open_project()
    chunks, strays = plan(project.settings, date)
    report = quarantine_strays(project, strays) if strays else IngestReport()
    for chunk in track(chunks, "Ingesting", unit="chunks"):
        report.add(ingest_chunk(project, chunk, replace))
    create_table_artifact(
        key="ingest-run",
        table=[
            {"files": "landed", "count": len(report.landed)},
            {"files": "known already", "count": len(report.known)},
            {"files": "quarantined", "count": len(report.quarantined)},
        ],
        description=f"{report.samples} new samples; the lake is at samples@{project.lake.samples.version()}.",
    )
    if not report.quarantined:
        return Completed(message=f"{len(report.landed)} files landed, {len(report.known)} known.", data=report)
    create_table_artifact(
        key="quarantine",
        table=[
            {"file": bad.file, "line": bad.error.line or "", "reason": str(bad.error), "now at": str(bad.now_at)}
            for bad in report.quarantined
        ],
        description="Files that could not be ingested; each has a JSON beside it.",
    )
    for bad in report.quarantined:
        words = escape(f"{bad.file}: {bad.error}")  # an error quotes what may look like markup
        console.print(f"[yellow]quarantined[/] {words}", highlight=False)
    return Completed(
        name="CompletedWithWarnings",
        message=f"{len(report.quarantined)} files went to {project.settings.paths.quarantine}: "
        + ", ".join(bad.file for bad in report.quarantined[:5]),
        data=report,
    )
