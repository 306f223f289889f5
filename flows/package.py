"""The flow `package`: builds and tests the champion's two bentos. The job: `har.jobs.package`."""

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
    """Build the champion's online and batch bento, test both, and record them; bentos that exist are not built again.

    Args:
        version: another version than the champion.
        shadow: a version that gets a share of the requests without answering them; by default the challenger, if it
            takes the same windows.

    Raises:
        NoChampionError: there is no champion yet.
        PackagingError: a bento cannot be built, or its answers differ from its model's; nothing is recorded.
    """
    project = open_project()
    report = job(project, ProjectBentos.of(project.settings), version=version, shadow=shadow, each=tasks(at_once=True))
    create_table_artifact(
        key="package-run",
        table=[{name: str(value) for name, value in vars(report).items()}],
        description="The champion's bentos.",
    )
    return report
