"""`package`: the champion as two tried bentos, as a flow; see `har.jobs.package`."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows._tasks import tasks
from har.jobs.package import PackageReport
from har.jobs.package import package as job
from har.project import open_project
from infra.bentoml.bentos import ProjectBentos


@flow(name="package")
def package(version: int | None = None, shadow: int | None = None) -> PackageReport:
    """Build the champion's online and batch bento, try both, and record them; what is there already stays.

    Args:
        version: another version than the champion, to try it out.
        shadow: a version that sees a share of the requests without answering; by default the challenger, if there
            is one for the same windows.

    Raises:
        NoChampionError: nothing serves yet.
        PackagingError: a bento cannot be built, or answers otherwise than its model; nothing is recorded.
    """
    project = open_project()
    report = job(project, ProjectBentos.of(project.settings), version=version, shadow=shadow, each=tasks())
    create_table_artifact(
        key="package-run",
        table=[{name: str(value) for name, value in vars(report).items()}],
        description="The bentos that carry the champion.",
    )
    return report
