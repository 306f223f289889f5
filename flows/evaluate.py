"""The flow `evaluate`: cross-validates by subject. The job: `har.jobs.evaluate`, imported when the flow runs."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact

from flows._tasks import tasks
from har.evaluation import RESAMPLES
from har.project import open_project


@flow(name="evaluate")
def evaluate(
    network: str | None = None, folds: int | None = None, seeds: int = 3, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Cross-validate by subject; if the report of the same parameters and data exists, return its figures.

    Args:
        network: its name, such as `spectral` or `dscnn`, or a Python file that holds one; by default that of
            har.toml.
        folds: number of folds; by default that of har.toml.
        seeds: number of seeds, from 0.
        resamples: of the bootstrap over subjects, behind the intervals.
    """
    from har.jobs.evaluate import evaluate as job
    from har.jobs.evaluate import evaluate_fold

    project = open_project()
    each = tasks(project.settings, without_retries=[evaluate_fold], thread_safe=False)
    flat = job(project, network=network, folds=folds, seeds=seeds, resamples=resamples, each=each)
    create_table_artifact(key="evaluation", table=[flat], description="Cross-validation by subject.")
    page = project.settings.path("reports") / "evaluation.html"
    create_link_artifact(key="evaluation-report", link=page.as_uri())
    return flat
