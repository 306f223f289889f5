"""The flow `release`: lets a version serve step by step, watched. The job: `har.jobs.release`."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows._events import sender
from flows._tasks import tasks
from har.jobs.release import Order
from har.jobs.release import release as job
from har.project import open_project
from har.release import Record
from infra.observability.releases import write_page
from infra.serving.releasing import surroundings


@flow(name="release")
def release(
    version: int | None = None, back: bool = False, reason: str | None = None, promoted: bool = False
) -> State[Any]:
    """Release a version: beside the one that serves, step by step in its place, judged; or taken back by itself.

    A run that was killed leaves the former version to serve everybody, and the next run goes on with its release. The
    run ends as `Completed`, or as `RolledBack`, `HeldTooLong` or `Aborted`.

    Args:
        version: by default the champion.
        back: it served before: everybody at once, and only the hard limits count.
        reason: in words, for the promotion log.
        promoted: a promotion started it: `release.automatic` counts, and another release is waited for.

    Raises:
        NoChampionError: there is no champion yet.
        ReleaseError: another version is being released, or the online service does not run.
    """
    project = open_project()
    report = job(
        project,
        surroundings(project),
        Order(version=version, back=back, why=reason or "", promoted=promoted),
        each=tasks(at_once=True),
        send=sender(project.settings),
        show=_show,
    )
    if report.records:
        write_page(project, report.records)
    name = None if report.good else "".join(word.capitalize() for word in report.result.split())
    return Completed(name=name, message=f"{report.result}: {report.sentence}", data=report)


def _show(record: Record) -> None:
    """An artifact of a step: what was compared."""
    names = ("name", "value", "limit", "n", "subjects", "verdict")
    rows = [{name: _text(measure.get(name)) for name in names} for measure in record.measures]
    create_table_artifact(
        key=f"release-version-{record.version}",
        table=rows or [{"what": record.what, "step": record.step, "who": record.who}],
        description=f"{record.what}, {record.step or 'no step yet'}: {record.sentence}",
    )


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
