"""Commands about the place where the online service runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from har.errors import ReleaseError
from har.settings import load_settings
from har_cli._shared import out

if TYPE_CHECKING:
    from infra.serving.processes import Processes

_WAIT_S = 180.0
_POLL_S = 0.2


def scale(
    replicas: Annotated[
        int | None, typer.Argument(min=1, help="Of each version, from now on; without it, those that run are listed.")
    ] = None,
    as_configured: Annotated[
        bool, typer.Option("--as-configured", help="As serving.replicas in har.toml says, from now on.")
    ] = False,
) -> None:
    """Add or drain replicas of the online service without a failed request; ends once they are ready."""
    from infra.serving.processes import Processes

    settings = load_settings()
    place = Processes(settings)
    if replicas is not None or as_configured:
        wanted = settings.serving.replicas if as_configured or replicas is None else replicas
        place.scale(0 if as_configured else wanted)
        if not place.is_kept:
            out.print(
                f"{_counted(wanted)} from the next start: make up or make site does not run, or without HAProxy.",
                highlight=False,
            )
            return
        _await(place, wanted)
        out.print(f"{_counted(wanted)} of each version.", highlight=False)
    _list(place)


def _await(place: Processes, wanted: int) -> None:
    """Wait until so many replicas of each version are ready.

    Raises:
        ReleaseError: they are not in time.
    """
    give_up = time.monotonic() + _WAIT_S
    while True:
        ready = place.now().replicas or {}
        versions = {"stable": place.place.wanted().stable, "canary": place.place.wanted().canary}
        if all(ready.get(role, 0) == wanted for role, tag in versions.items() if tag):  # type: ignore[call-overload]
            return
        if time.monotonic() > give_up:
            raise ReleaseError(
                where=place.name,
                expected=f"{_counted(wanted)} within {_WAIT_S:g} s",
                got=str(ready.get("stable", 0)),
                remedy="See the logs of the replicas, online-*.log.",
            )
        time.sleep(_POLL_S)


def _list(place: Processes) -> None:
    table = Table("version", "role", "replica", "condition", "address", "starts", "memory MB")
    for one in place.place.running().replicas:
        version = one.tag.partition(":")[2]
        where = f"{one.backend} {one.name}"
        table.add_row(version, one.role, where, one.condition, one.address, str(one.starts), f"{one.memory_mb:.0f}")
    if table.row_count:
        out.print(table)
    else:
        out.print("No replica runs.", highlight=False)


def _counted(replicas: int) -> str:
    return f"{replicas} replica{'s' if replicas > 1 else ''}"
