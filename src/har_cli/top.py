"""`har top`: the two dashboards in a terminal, or as static pages."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from har.errors import ServerError
from har.settings import load_settings
from har_cli._shared import out

if TYPE_CHECKING:
    from infra.observability.query import Prometheus

Chosen = Literal["operations", "model"]
_LEAST_EVERY_S = 1.0


def top(
    dashboard: Annotated[
        Chosen, typer.Argument(help="operations: whether all runs; model: what the model sees and answers.")
    ] = "operations",
    once: Annotated[bool, typer.Option("--once", help="Print it once and end; also where no terminal is.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Write both, and each release, as pages.")] = False,
    minutes: Annotated[int, typer.Option(min=1, max=43_200, help="How far back courses go.")] = 30,
    every: Annotated[float, typer.Option(min=_LEAST_EVERY_S, help="Seconds between two looks.")] = 2.0,
    prometheus: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of Prometheus; by default that of har.toml or `make up`.")
    ] = None,
) -> None:
    """Watch the running system: requests, errors, releases, flows, drift; needs the Prometheus of `make up`."""
    from infra.observability.query import Prometheus, known_address

    settings = load_settings()
    source = Prometheus(prometheus or known_address(settings))
    span_s = 60.0 * minutes
    try:
        if page:
            from har.project import open_project
            from infra.observability.board import write_boards
            from infra.observability.releases import write_pages

            project = open_project()
            for path in (*write_boards(project, source, span_s), *write_pages(project)):
                out.print(str(path), highlight=False, soft_wrap=True)
        elif once or not out.is_terminal:
            out.print(_screen(source, dashboard, span_s))
        else:
            _watch(source, dashboard, span_s, every)
    finally:
        source.close()


def _watch(source: Prometheus, dashboard: Chosen, span_s: float, every: float) -> None:
    from rich.live import Live

    with Live(_screen(source, dashboard, span_s), console=out, screen=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            try:
                live.update(_screen(source, dashboard, span_s), refresh=True)
            except ServerError as error:  # Prometheus is started again: the next look may succeed
                live.update(Text(str(error), style="red"), refresh=True)
            time.sleep(max(0.2, every - (time.monotonic() - began)))


def _screen(source: Prometheus, dashboard: Chosen, span_s: float) -> RenderableType:
    from har_cli._board import board
    from infra.observability.board import fill, state_sentence
    from infra.observability.panels import DASHBOARDS

    settings = load_settings()
    other = next(name for name in DASHBOARDS if name != dashboard)
    head = Text.assemble(
        (f"{settings.project.name}: {DASHBOARDS[dashboard]}", "bold"),
        (
            f"  {dt.datetime.now():%H:%M:%S}, the last {span_s / 60:g} min, {source.address}; also: har top {other}",
            "dim",
        ),
    )
    return Group(head, Text(state_sentence(settings)), board(fill(source, dashboard, span_s, points=36), out.width))
