"""The flow `collect`: reads the online service's prediction log into the lake. The job: `har.jobs.collect`."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows._tasks import tasks
from har.jobs.collect import collect as job
from har.project import open_project


@flow(name="collect")
def collect() -> State[Any]:
    """Read the prediction log into the lake, each line exactly once, and remove complete files.

    It can run at any time, also while the service writes and after a run that was killed. The run ends as `Completed`,
    or as `CompletedWithWarnings` if lines cannot be read.
    """
    report = job(open_project(), each=tasks())
    create_table_artifact(
        key="collect-run",
        table=[{name: value for name, value in vars(report).items() if name != "bad"} | {"bad": len(report.bad)}],
        description="What the last run read from the prediction log.",
    )
    if not report.bad:
        return Completed(message=f"{report.requests} windows, {report.labels} labels.", data=report)
    create_table_artifact(
        key="prediction-log-bad-lines",
        table=[
            {"file": bad.file, "line": bad.line, "reason": bad.reason, "now at": str(bad.now_at)} for bad in report.bad
        ],
        description="Lines that cannot be read. Fix them and rename the file to .jsonl to collect them.",
    )
    return Completed(
        name="CompletedWithWarnings",
        message=f"{len(report.bad)} lines cannot be read; they are in .bad files beside the log: "
        + ", ".join(f"{bad.file}:{bad.line}" for bad in report.bad[:5]),
        data=report,
    )
