"""The online service behind HAProxy with one replica and with two, in turn, and one replica without the proxy."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from har.inference import granted_cores
from infra.bentoml.store import SHARED_PORT
from infra.local.child import Child
from infra.local.server import HOST, bound
from infra.local.third_party import installed
from infra.serving.fleet import Member
from infra.serving.keeper import Keeper
from infra.serving.processes import Processes
from tests.bench import _load
from tests.bench._online import CONNECTIONS, SERVICE, requests
from tests.bench._project import Project, make
from tests.bench._server import ROOT

MISSING = "HAProxy is not installed (apt-get install haproxy): replicas were not measured."
_READY_S = 180.0


def measure(folder: Path, *, rounds: int = 5, seconds: int = 3, console: Console) -> dict[str, Any]:
    """Serve, scale, load.

    Args:
        folder: an empty one, for everything that is made.
        rounds: each number of replicas has its turn in each.
        seconds: of load, per turn.
        console: says what is going on.
    """
    program = installed("haproxy")
    if program is None:
        console.print(MISSING)
        return {}
    with console.status("Making a package to serve …"):
        project = make(folder)
        requests(project, folder / "requests")
    rates: dict[str, list[float]] = {"direct": [], "one": [], "two": []}
    with bound(0) as door, console.status("Loading one replica and two, in turn …"):
        serving = Processes(project.settings)
        with serving.place.changing() as change:
            change.write(stable=f"{project.settings.project.name}-online:bench")
        keeper = Keeper(project.settings, program, door, folder / "logs", lambda _: None, _launch(project, folder))
        keeper.tick()
        try:
            for number in range(rounds):
                for name, count in (("one", 1), ("two", 2))[:: 1 if number % 2 == 0 else -1]:
                    serving.scale(count)
                    _until(lambda count=count: len(serving.addresses()["stable"]) == count)
                    port = int(keeper.address.rpartition(":")[2])
                    rates[name].append(_rate(port, folder, seconds))
                    if count == 1:
                        own = int(serving.addresses()["stable"][0].rpartition(":")[2])
                        rates["direct"].append(_rate(own, folder, seconds))
                    project.empty_journal()
        finally:
            keeper.stop()
    direct, one, two = (statistics.median(values) for values in rates.values())
    return {
        "replicas_requests_per_s_1": round(one),
        "replicas_requests_per_s_2": round(two),
        "replicas_2_vs_1": round(two / one, 2),
        "replica_without_proxy_requests_per_s": round(direct),
        "replicas_cores": granted_cores(),
    }


def _rate(port: int, folder: Path, seconds: int) -> float:
    _load.send(port, folder / "requests" / "raw", connections=CONNECTIONS, seconds=1)
    return _load.send(port, folder / "requests" / "raw", connections=CONNECTIONS, seconds=seconds).rate


def _launch(project: Project, folder: Path) -> Callable[[Member], Child]:
    def start(member: Member) -> Child:
        return Child(
            member.name,
            [*SERVICE, "--host", HOST, "--port", str(member.port)],
            environment={**os.environ, **project.environment, SHARED_PORT: "1"},
            log=folder / "logs" / f"{member.name}.log",
            folder=ROOT,
        )

    return start


def _until(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _READY_S
    while not reached():
        if time.monotonic() > give_up:
            raise RuntimeError(f"expected replicas to be ready within {_READY_S:g} s; see the logs beside the project")
        time.sleep(0.2)
