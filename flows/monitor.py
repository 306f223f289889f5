"""The flow `monitor`: drift reports and decisions for scored days. The job: `har.jobs.monitor`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows._events import sender
from flows._tasks import retraining_is_on, tasks
from har.jobs.monitor import MonitorReport
from har.jobs.monitor import monitor as job
from har.project import open_project


@flow(name="monitor")
def monitor(date: dt.date | None = None, again: bool = False) -> State[Any]:
    """Write a report on every day with new data, oldest first, decide by the policy, and carry the decisions out.

    A day is judged if it is over, the champion was not trained on it, and it has no decision yet or has got more data
    since; the newest day also if its decision waits for labels and some have arrived. The run ends as `Completed`, or
    as `CompletedWithWarnings` if the report has notes.

    Args:
        date: this day only, even if it is not over or the champion was trained on it.
        again: also days that were judged before.

    Raises:
        NoChampionError: there is no champion yet.
        NotEnoughDataError: the champion has not scored `date`.
    """
    project = open_project()
    report = job(
        project,
        date=date,
        again=again,
        each=tasks(),
        send=sender(project.settings),
        automatic=retraining_is_on(),
    )
    if report.index and report.days:
        _show(report)
    if report.notes:
        return Completed(name="CompletedWithWarnings", message=" ".join(report.notes), data=report)
    decided = "; ".join(f"{row.date}: {row.action}" for row in report.decisions)
    message = f"Nothing to monitor: {report.idle}" if report.idle else f"{len(report.days)} days. {decided}"
    return Completed(message=message.strip(), data=report)


def _show(report: MonitorReport) -> None:
    assert report.index is not None  # noqa: S101  asked by the caller
    pages = {day.date: (report.index.parent / f"{day.date}.html").as_uri() for day in report.days}
    lines = [f"- [{day.date}]({pages[day.date]}): {day.verdict}" for day in report.days]
    decisions = [f"- {row.date}: **{row.action}**. {' '.join(row.reasons)}" for row in report.decisions]
    create_markdown_artifact(
        key="monitor-run",
        markdown="\n".join([*lines, "", "Decisions:", "", *decisions]),
        description="Reports and decisions of the last run.",
    )
    last = report.days[-1]
    create_link_artifact(key="drift-report", link=pages[last.date], description=f"{last.date}: {last.verdict}")
    create_link_artifact(key="drift-index", link=report.index.as_uri(), description="All days.")
