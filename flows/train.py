"""The flow `train`: trains a challenger and compares it with the champion. The job: `har.jobs.train`.

Torch takes three seconds to import, and Prefect imports flows to deploy them: the job is imported when the flow runs.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact

from flows._events import sender
from flows._tasks import retraining_is_on, tasks
from har.project import open_project


@flow(name="train")
def train(
    network: str | None = None,
    seed: int | None = None,
    since: dt.date | None = None,
    decision: str | None = None,
    reason: str | None = None,
) -> Any:
    """Train a challenger on the lake's labelled windows and compare it with the champion.

    The same recipe (data version, settings, split, seed, commit) is trained only once; later runs report its version.
    If a decision of `monitor` started the training, its outcome is written to the log of decisions. A decision that is
    handled is skipped; one that was made for another champion, or while automatic retraining is off (the variable
    `har_retraining`), is closed.

    Where a DVC remote is configured, a snapshot of the raw data is taken first (`snapshots.before_training`). If that
    fails, the training goes on, and the recipe says so.

    Args:
        network: its name, such as `spectral` or `dscnn`, or a Python file that holds one; by default that of
            har.toml.
        seed: by default that of har.toml.
        since: first day of a drift; the gate then compares on the days before and on those since.
        decision: id of the decision that started this; it has `since` and `reason`.
        reason: in words, for the promotion log.

    Returns:
        The job's `TrainReport`.

    Raises:
        MonitoringError: no decision has this id.
    """
    from har.jobs.train import fit_and_export
    from har.jobs.train import train as job

    project = open_project()
    report = job(
        project,
        network=network,
        seed=seed,
        since=since,
        decision=decision,
        reason=reason,
        each=tasks(without_retries=[fit_and_export]),
        send=sender(project.settings),
        automatic=decision is None or retraining_is_on(),
    )
    if report.page is None:
        return report
    create_table_artifact(
        key="train-run",
        table=[{"figure": name, "value": f"{value:.4f}"} for name, value in sorted(report.metrics.items())],
        description=f"Version {report.version}, {'promoted' if report.promoted else 'not promoted'}: "
        + " ".join(report.reasons),
    )
    create_link_artifact(
        key="train-report",
        link=report.page.as_uri(),
        description=f"Version {report.version} on the held-out subjects.",
    )
    return report
