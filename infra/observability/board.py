"""The panels of a dashboard with the values that Prometheus has now: for `har top` and for the static pages."""

from __future__ import annotations

import datetime as dt
import math
import time
from pathlib import Path

from har.errors import HarError
from har.files import write_atomically
from har.pages import Curve, FigureBox, render_board, write_index
from har.project import Project
from har.settings import Settings
from infra.observability.panels import DASHBOARDS, PANELS, Dashboard, Panel
from infra.observability.query import Prometheus, Series
from infra.serving.state import Place

PAGES: dict[Dashboard, str] = {"operations": "operations.html", "model": "model.html"}
"""Files of the static pages, in the folder of reports."""

_NO_VALUE = "Prometheus has no such series yet"


def fill(prometheus: Prometheus, dashboard: Dashboard, span_s: float, *, points: int = 120) -> list[FigureBox]:
    """The figures of a dashboard.

    Args:
        prometheus: to ask.
        dashboard: which one.
        span_s: how far back courses go, in seconds.
        points: about how many values of each course.

    Raises:
        ServerError: it cannot be reached, or refuses an expression.
    """
    end = time.time()
    return [_filled(prometheus, panel, span_s, end, points) for panel in PANELS if panel.dashboard == dashboard]


def _filled(prometheus: Prometheus, panel: Panel, span_s: float, end: float, points: int) -> FigureBox:
    curves = []
    for query in panel.queries:
        if panel.kind == "stat":
            found = prometheus.now(query.promql)
        else:
            found = prometheus.over(query.promql, span_s, end=end, points=points)
        curves += [_curve(panel, query.name(series.labels), series) for series in found]
    curves.sort(key=lambda curve: (curve.name, -curve.value if math.isfinite(curve.value) else 0.0))
    limits = tuple((value, level) for value, level in panel.levels if level != "good")
    return FigureBox(
        title=panel.title,
        section=panel.section,
        unit=panel.unit,
        kind=panel.kind,
        curves=tuple(curves),
        limits=limits,
        help=panel.help,
        empty=panel.empty or _NO_VALUE,
    )


def _curve(panel: Panel, name: str, series: Series) -> Curve:
    value = series.value
    word = panel.words.get(int(value), "") if math.isfinite(value) and value == int(value) else ""
    return Curve(name, series.points, panel.level(value), word)


def state_sentence(settings: Settings) -> str:
    """What serves here, and what is being released, in a sentence or two."""
    try:
        place = Place(settings)
        wanted, running = place.wanted(), place.running()
    except HarError as error:
        return f"What serves is not known: {error}"
    if not wanted.stable:
        return "No version is served by the replicas of this project."
    ready = sum(replica.ready for replica in running.replicas)
    parts = [f"{wanted.stable} serves; {ready} of {len(running.replicas)} replicas are ready."]
    if not running.is_kept:
        parts.append("Nobody looks after them: make up does.")
    if wanted.canary:
        parts.append(f"{wanted.canary} is being released: har release status.")
    elif wanted.former:
        parts.append(f"{wanted.former} served before, and is kept ready.")
    return " ".join(parts)


def write_boards(project: Project, prometheus: Prometheus, span_s: float) -> list[Path]:
    """Write both pages into the folder of reports, and list them in its index.

    Raises:
        ServerError: Prometheus cannot be reached, or refuses an expression.
    """
    settings = project.settings
    reports = settings.path("reports")
    at, state = dt.datetime.now(dt.UTC), state_sentence(settings)
    written = []
    for dashboard, title in DASHBOARDS.items():
        figures = fill(prometheus, dashboard, span_s)
        other = next(name for name in DASHBOARDS if name != dashboard)
        page = render_board(
            figures,
            title=f"{settings.project.name}: {title.lower()}",
            at=at,
            span_s=span_s,
            state=state,
            other=(PAGES[other], DASHBOARDS[other]),
        )
        written.append(write_atomically(reports / PAGES[dashboard], page))
    write_index(reports, title=settings.project.name)
    return written
