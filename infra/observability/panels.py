"""The panels of the two dashboards, in one table: Grafana's files, `har top` and the static page are made from it.

`operations` shows whether the system serves and works through its days; `model` shows what the model sees and answers.
Queries use recording rules of `infra/observability/rules` (their names contain colons) and metrics as exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.observability._model import MODEL
from infra.observability._operations import OPERATIONS
from infra.observability._panel import Dashboard, Kind, Level, Panel, Query, Unit
from infra.observability._stream import STREAM

__all__ = ["DASHBOARDS", "PANELS", "Dashboard", "Kind", "Level", "Panel", "Query", "Unit", "panels"]

DASHBOARDS: Mapping[Dashboard, str] = {"operations": "Operations", "model": "Model and data"}
"""By their name in `Panel.dashboard`, their titles."""

PANELS: tuple[Panel, ...] = (*OPERATIONS, *STREAM, *MODEL)


def panels(dashboard: Dashboard) -> Iterator[tuple[str, list[Panel]]]:
    """The sections of a dashboard in their order, each with its panels."""
    sections: dict[str, list[Panel]] = {}
    for panel in PANELS:
        if panel.dashboard == dashboard:
            sections.setdefault(panel.section, []).append(panel)
    yield from sections.items()
