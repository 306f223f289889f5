"""The flow `tune`: searches the settings of training. The job: `har.jobs.tune`, imported when the flow runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact

from flows._tasks import tasks
from har.project import open_project

if TYPE_CHECKING:
    from har.jobs.tune import TuningReport


@flow(name="tune")
def tune(
    network: str | None = None,
    trials: int | None = None,
    timeout_s: float | None = None,
    groups: Sequence[str] | None = None,
    folds: int | None = None,
    apply: bool = False,
) -> TuningReport:
    """Search by subject, without the held-out subjects; goes on with the trials of earlier runs.

    Args:
        network: its name; by default that of har.toml.
        trials: configurations to try in this run; by default that of har.toml.
        timeout_s: no configuration is begun after this time.
        groups: what may change: training, network, windows; by default those of har.toml.
        folds: number of folds; by default that of har.toml.
        apply: whether to write the best configuration into har.toml.
    """
    from har.jobs.tune import try_fold
    from har.jobs.tune import tune as job

    project = open_project()
    each = tasks(project.settings, without_retries=[try_fold], thread_safe=False)
    report = job(
        project,
        network=network,
        trials=trials,
        timeout_s=timeout_s,
        groups=groups,
        folds=folds,
        apply=apply,
        each=each,
    )
    row = {name: report.figures[name] for name in ("network", "metric", "trials", "start", "best", "best_less_start")}
    create_table_artifact(key="tuning", table=[row], description="Search by subject.")
    create_link_artifact(key="tuning-report", link=report.page.as_uri())
    return report
