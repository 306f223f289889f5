"""Figures about the running system in a terminal: the same values as the static pages, with sparklines and colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from har.pages import Curve, FigureBox, sections

_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 18
_CELL = 46
_LOOKS = {"good": "green", "warn": "yellow", "bad": "bold red", None: "bold"}
_MARKS = {"warn": " △", "bad": " ▲"}
"""Beside the colours, for terminals and eyes without them."""


def board(figures: Sequence[FigureBox], width: int) -> RenderableType:
    """All figures, as many beside each other as there is room for.

    Args:
        figures: of a dashboard.
        width: of the terminal, in characters.
    """
    columns = max(1, width // _CELL)
    parts: list[RenderableType] = []
    for heading, group in sections(figures):
        parts.append(Rule(f"[bold]{heading}[/]", align="left", style="dim"))
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        for _ in range(columns):
            grid.add_column(ratio=1)
        # Down the columns, so that tall figures stand beside tall ones no more often than they must.
        for row in range(0, len(group), columns):
            cells: list[RenderableType] = [_cell(figure) for figure in group[row : row + columns]]
            grid.add_row(*cells, *([""] * (columns - len(cells))))
        parts.append(Padding(grid, (0, 0, 0, 1)))
    return Group(*parts)


def _cell(figure: FigureBox) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column(justify="left", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    title = Text(figure.title, style="cyan", overflow="ellipsis", no_wrap=True)
    if not figure.curves:
        return Group(title, Text(f"nothing: {figure.empty}", style="dim"))
    for curve in figure.shown:
        value = Text(f"{figure.text(curve)}{_MARKS.get(curve.look or '', '')}", style=_LOOKS[curve.look])
        table.add_row(Text(curve.name), sparkline(curve) if figure.kind == "line" else "", value)
    rows: list[RenderableType] = [title, table]
    if figure.left_out:
        rows.append(Text(f"and {figure.left_out} more", style="dim"))
    return Group(*rows)


def sparkline(curve: Curve, width: int = _SPARK) -> str:
    """The course in so many characters, each the largest value of its time; a time without values is blank.

    Bars begin at 0, or at the smallest value where that is below.
    """
    known = [(when, value) for when, value in curve.points if math.isfinite(value)]
    if not known:
        return ""
    first, last = curve.points[0][0], curve.points[-1][0]
    step = (last - first) / width or 1.0
    groups: list[list[float]] = [[] for _ in range(width)]
    for when, value in known:
        groups[min(width - 1, int((when - first) / step))].append(value)
    low = min(0.0, *(value for _, value in known), 0.0)
    high = max(value for _, value in known)
    scale = (high - low) or 1.0
    most = len(_BARS) - 1
    return "".join(_BARS[round(most * (max(group) - low) / scale)] if group else " " for group in groups)
