"""The flow `score`: predictions and profiles by the champion. The job: `har.jobs.score`."""

from __future__ import annotations

import datetime as dt
import os

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from bentos.batch.client import BatchService, connect
from flows._tasks import tasks
from har.errors import HarError
from har.jobs.score import ScoreReport
from har.jobs.score import score as job
from har.project import open_project
from har.settings import Settings
from infra.local.services import BATCH_VARIABLE


@flow(name="score")
def score(date: dt.date | None = None, rescore: bool = False) -> ScoreReport:
    """Score new recordings; write predictions, profiles and the summary of each changed day.

    If `scoring.service` is set, the batch service predicts in place of this process, with the same results. The batch
    service of `make up` does so as long as it has the champion; otherwise this process predicts.

    Args:
        date: this date only; by default all dates.
        rescore: also recordings that another version scored, and those without a profile.
    """
    project = open_project()
    report = job(project, date=date, rescore=rescore, each=tasks(project.settings), connect=_connect)
    create_table_artifact(
        key="score-run",
        table=[{name: str(value) for name, value in vars(report).items() if name != "summaries"}],
        description="The last run.",
    )
    if report.summaries:
        create_markdown_artifact(
            key="activity-summaries",
            markdown="\n".join(f"- [{path.stem}]({path.as_uri()})" for path in report.summaries),
            description="Minutes per activity and subject, one page a date.",
        )
    return report


def _connect(settings: Settings, version: int, features: tuple[str, ...]) -> BatchService | None:
    """The service that har.toml names; or the local stack's, if it answers and has the champion."""
    offered = os.environ.get(BATCH_VARIABLE, "")
    if settings.scoring.service or not offered:
        return connect(settings, version, features)
    there = settings.model_copy(update={"scoring": settings.scoring.model_copy(update={"service": offered})})
    service = BatchService(there, version, features, required=False)
    try:
        service.require_champion()
    except HarError as error:
        get_run_logger().info(f"This process scores, not the batch service: {error}")
        return None
    return service
