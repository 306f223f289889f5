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

    The run ends as `Completed`, or as `CompletedWithWarnings` if files went to quarantine or entries were skipped.

    Args:
        date: this date only; by default all.
        replace: replace sessions that were ingested with other content.
    """
    project = open_project()
    report = job(project, date=date, replace=replace, each=tasks(project.settings))
    create_table_artifact(
        key="ingest-run",
        table=[
            {"what": "files ingested", "count": len(report.landed)},
            {"what": "files known", "count": len(report.known)},
            {"what": "files quarantined", "count": len(report.quarantined)},
            {"what": "entries skipped", "count": len(report.skipped)},
            {"what": "files still being uploaded", "count": len(report.unfinished)},
            {"what": "rows read", "count": report.rows_read},
            {"what": "rows kept", "count": report.rows_kept},
            {"what": "rows dropped", "count": report.rows_read - report.rows_kept},
            {"what": "samples interpolated", "count": report.interpolated},
            {"what": "samples in two sessions, counted once", "count": report.overlapping},
        ],
        description="\n\n".join(
            [
                f"{report.samples} new samples; the lake is at samples@{project.lake.samples.version()}.",
                *report.notes,
            ]
        ),
    )
    if report.complete:
        return Completed(message=report.summary, data=report)
    moved: list[dict[str, Any]] = [
        {"file": bad.file, "line": bad.error.line or "", "reason": str(bad.error), "now at": str(bad.now_at)}
        for bad in report.quarantined
    ]
    left: list[dict[str, Any]] = [
        {"file": one.file, "line": "", "reason": str(one.error), "now at": "in the inbox"} for one in report.skipped
    ]
    create_table_artifact(
        key="quarantine",
        table=[*moved, *left],
        description="What could not be ingested; each file in quarantine has a JSON beside it.",
    )
    names = [row["file"] for row in (*moved, *left)]
    return Completed(
        name="CompletedWithWarnings",
        message=f"{report.summary} Not ingested: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}",
        data=report,
    )
