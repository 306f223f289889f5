"""The flow `ingest`: reads the inbox into the lake. The job: `har.jobs.ingest`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows._tasks import tasks
from har.jobs.ingest import ingest as job
from har.project import open_project


@flow(name="ingest")
def ingest(date: dt.date | None = None, replace: bool = False) -> State[Any]:
    """Read the inbox into the lake; files already ingested are skipped.

    The run ends as `Completed`, or as `CompletedWithWarnings` if files went to quarantine.

    Args:
        date: this date only; by default all.
        replace: replace sessions that were ingested with other content.
    """
    project = open_project()
    report = job(project, date=date, replace=replace, each=tasks(at_once=False))
    create_table_artifact(
        key="ingest-run",
        table=[
            {"files": "ingested", "count": len(report.landed)},
            {"files": "ingested before", "count": len(report.known)},
            {"files": "quarantined", "count": len(report.quarantined)},
        ],
        description=f"{report.samples} new samples; the lake is at samples@{project.lake.samples.version()}.",
    )
    if not report.quarantined:
        return Completed(
            message=f"{len(report.landed)} files ingested, {len(report.known)} ingested before.", data=report
        )
    create_table_artifact(
        key="quarantine",
        table=[
            {"file": bad.file, "line": bad.error.line or "", "reason": str(bad.error), "now at": str(bad.now_at)}
            for bad in report.quarantined
        ],
        description="Files that could not be ingested; each has a JSON beside it.",
    )
    return Completed(
        name="CompletedWithWarnings",
        message=f"{len(report.quarantined)} files went to {project.settings.paths.quarantine}: "
        + ", ".join(bad.file for bad in report.quarantined[:5]),
        data=report,
    )
