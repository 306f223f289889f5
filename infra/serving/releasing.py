"""What a release needs of this machine: the place that serves, the bentos, and the smoke test of a new replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from har.release import Plan, Serving, State, Watch
from har.settings import Settings
from infra.local.third_party import installed
from infra.serving.processes import Processes

if TYPE_CHECKING:
    from har.jobs.release import Surroundings
    from har.project import Project

_PROMETHEUS_S = 3.0
NO_PROXY = "HAProxy is not installed"
NOT_KEPT = "the online service does not run here: neither make up nor make site"
NO_MANIFESTS = "release.place is kubernetes, and this project has no infra/kubernetes"


def place(settings: Settings) -> tuple[Serving | None, str]:
    """Where two versions can serve at the same time; None and the reason where they cannot."""
    if settings.release.place == "kubernetes":
        try:
            from infra.kubernetes import serving
        except ImportError:
            return None, NO_MANIFESTS
        return serving(settings), ""
    if installed("haproxy") is None:
        return None, NO_PROXY
    return Processes(settings), ""


def surroundings(project: Project) -> Surroundings:
    """What a release of this project needs: its processes behind HAProxy."""
    from har.jobs.release import Surroundings
    from har.jobs.release_watch import LiveWatch, limits_of, reader_of
    from infra.bentoml.bentos import ProjectBentos
    from infra.observability.query import noted_address

    serving, lacks = place(project.settings)

    def watch(state: State, plan: Plan) -> Watch:
        assert serving is not None  # noqa: S101  nothing is released without a place
        limits, reader = limits_of(project, state), reader_of(project, state)
        return LiveWatch(serving, limits, plan, reader, seen=_seen, prometheus=noted_address(project.settings))

    return Surroundings(
        bentos=ProjectBentos.of(project.settings),
        serving=serving,
        watch=watch,
        smoke=lambda address, version: smoke_of(project, address, version),
        lacks=lacks,
        refuses=NOT_KEPT if isinstance(serving, Processes) and not serving.is_kept else "",
    )


def _seen(prometheus: str) -> set[str]:
    """The addresses `host:port` of the online service's replicas that a Prometheus reads.

    Raises:
        ServerError: it does not answer.
    """
    from infra.observability.query import Prometheus

    asked = Prometheus(prometheus, timeout_s=_PROMETHEUS_S)
    try:
        return {one.labels["instance"] for one in asked.now('up{job="online"}') if one.value == 1}
    finally:
        asked.close()


def smoke_of(project: Project, address: str, version: int) -> list[str]:
    """What is wrong with a replica of a registered version, in sentences."""
    from infra.delivery.online.smoke import Expected, smoke

    return smoke(address, Expected(version, project.classifier(version)), wait_s=10.0)
