"""The chart of a history: curves, lanes of events and a heat map above one axis of days.

Labels are at the right, beside the newest days: on a narrow screen, where older days scroll out of sight, both show.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from har.pages._charts import ACCENT, CARD, DOT, GRID, HEAT, INK, MUTED, ON_ACCENT, SECOND, new_figure, svg
from har.pages._formatting import LEVELS

Unit = Literal["day", "week", "month"]
_EVERY: dict[Unit, str] = {"day": "1d", "week": "1w", "month": "1mo"}
_COLUMNS = 62
"""Up to this many columns are days (weeks); with more, a column is a week (a month)."""
_CHART, _COLUMN = 860, 46
"""Widest chart and widest column, in pixels."""
_LEFT, _RIGHT = 10, 180
_ROW, _LANE, _BAND, _CURVE, _TITLE = 18, 22, 24, 124, 34
_LONGEST = 24
_COLOURS = {"alarm": SECOND, "event": ACCENT, "quiet": MUTED}


@dataclass(frozen=True)
class Columns:
    """The columns of a chart: days that have reports, else their weeks or months; nothing stands for days without.

    Attributes:
        unit: what one column holds.
        groups: the dates of each column, in order.
        gaps: columns before which days (weeks, months) are left out.
    """

    unit: Unit
    groups: tuple[tuple[dt.date, ...], ...]
    gaps: tuple[int, ...]

    @classmethod
    def of(cls, dates: Collection[dt.date]) -> Columns:
        """Columns for these dates, which may come in any order."""
        days = pl.DataFrame({"day": list(dates)}, schema={"day": pl.Date}).unique().sort("day")
        for unit in _EVERY:
            every = _EVERY[unit]
            start = pl.col("day").dt.truncate(every).alias("start")
            columns = days.group_by(start, maintain_order=True).agg("day")
            if len(columns) <= _COLUMNS:
                break
        gaps = columns["start"] > columns["start"].shift(1).dt.offset_by(every)
        return cls(unit, tuple(map(tuple, columns["day"].to_list())), tuple(gaps.fill_null(False).arg_true()))

    def __len__(self) -> int:
        return len(self.groups)

    def ticks(self, width: float) -> tuple[list[int], list[str]]:
        """Columns to label, at least 52 pixels apart where a column has this width, and their labels.

        The year stands below the first label and wherever it changes.
        """
        step = math.ceil(52 / width)
        labelled = list(range((len(self) - 1) % step, len(self), step))
        labels, year = [], 0
        for index in labelled:
            first = self.groups[index][0]
            label = f"{first:%b}" if self.unit == "month" else f"{first:%m-%d}"
            labels.append(label if first.year == year else f"{label}\n{first.year}")
            year = first.year
        return labelled, labels


@dataclass(frozen=True)
class Lane:
    """Events of one kind: the columns they are in, and how they are marked."""

    columns: Collection[int]
    marker: str
    kind: Literal["alarm", "event", "quiet"] = "event"


class Timeline:
    """A chart that is filled panel by panel from top to bottom, and drawn inside `_charts.style`."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.width = min(_COLUMN, _CHART / max(1, len(columns)))
        self._panels: list[tuple[float, float, Callable[[Axes], None]]] = []
        self._begins: list[tuple[int, str]] = []

    def curve(
        self,
        label: str,
        values: Sequence[float | None],
        *,
        ticks: Mapping[float, str],
        limits: tuple[float, float],
        log: bool = False,
        level: float | None = None,
        alarmed: Collection[int] = (),
        colour: str = MUTED,
    ) -> None:
        """A curve over the columns.

        Args:
            label: what it shows; above its ticks.
            values: one per column; None breaks the line.
            ticks: values with their labels.
            limits: of the axis; values beyond are drawn at its ends.
            log: a logarithmic axis.
            level: the alarm level: a dashed line.
            alarmed: columns whose points are marked.
            colour: of the line.
        """

        def draw(axes: Axes) -> None:
            low, high = limits
            points = np.array([math.nan if value is None else min(max(value, low), high) for value in values])
            places = np.arange(len(points)) + 0.5
            marked = np.isin(np.arange(len(points)), list(alarmed))
            options: dict[str, Any] = {"clip_on": False, "zorder": 3}
            name = label.lower().replace(" ", "-")
            axes.plot(places, points, color=colour, **options)
            axes.plot(
                places[~marked], points[~marked], "o", color=colour, markersize=6, gid=f"{name}-points", **options
            )
            axes.plot(places[marked], points[marked], "D", color=SECOND, markersize=8, gid=f"{name}-alarms", **options)
            if log:
                axes.set_yscale("log")
            axes.set_ylim(low, high)
            axes.set_yticks(list(ticks), list(ticks.values()))
            axes.minorticks_off()
            axes.grid(axis="y")
            if level is not None:
                axes.axhline(level, color=SECOND, linewidth=1.4, linestyle=(0, (5, 3)))
                strong = axes.get_yticklabels()[list(ticks).index(level)]
                strong.set(color=INK, fontweight="bold")
            _heading(axes, label)

        self._panels.append((_TITLE, _CURVE, draw))

    def band(self, label: str, names: Sequence[str]) -> None:
        """One name per column, such as the model's version; a vertical line marks each change."""
        starts = [index for index, name in enumerate(names) if index == 0 or name != names[index - 1]]

        def draw(axes: Axes) -> None:
            for turn, (start, end) in enumerate(zip(starts, [*starts[1:], len(names)], strict=True)):
                axes.broken_barh(
                    [(start, end - start)], (0.14, 0.72), facecolor=ACCENT, alpha=0.78 if turn % 2 else 1, linewidth=0
                )
                if self.width * (end - start) >= 8 + 7 * len(names[start]):
                    axes.text(
                        (start + end) / 2, 0.46, names[start], color=ON_ACCENT, ha="center", va="center", weight="bold"
                    )
            axes.set(ylim=(0, 1))
            axes.set_yticks([0.5], [label])

        self._panels.append((12, _BAND, draw))
        self._begins += [(start, "") for start in starts[1:]]

    def lanes(self, lanes: Mapping[str, Lane]) -> None:
        """One row per kind of event."""

        def draw(axes: Axes) -> None:
            axes.hlines(np.arange(len(lanes)) + 0.5, 0, len(self.columns), color=GRID, linewidth=0.8)
            for row, lane in enumerate(lanes.values()):
                axes.plot(
                    [index + 0.5 for index in sorted(lane.columns)],
                    [row + 0.5] * len(lane.columns),
                    lane.marker,
                    color=_COLOURS[lane.kind],
                    markerfacecolor=CARD if lane.kind == "quiet" else _COLOURS[lane.kind],
                    markersize=8,
                    clip_on=False,
                    gid=f"lane-{row}",
                )
            axes.set_ylim(len(lanes), 0)
            axes.set_yticks(np.arange(len(lanes)) + 0.5, [clip(label) for label in lanes])

        if lanes:
            self._panels.append((12, _LANE * len(lanes), draw))

    def heat(self, label: str, rows: Mapping[str, Sequence[float | None]]) -> None:
        """One row per feature, one score per column, empty where there is none; a dot marks scores of 1 and more."""

        def draw(axes: Axes) -> None:
            scores = np.array([[math.nan if s is None else s for s in row] for row in rows.values()])
            axes.pcolormesh(
                np.ma.masked_invalid(scores),
                cmap=ListedColormap(HEAT),
                norm=BoundaryNorm((-math.inf, *LEVELS, math.inf), len(HEAT)),
                edgecolor=CARD,
                linewidth=1,
                gid="heat",
            )
            above, at = np.nonzero(scores >= 1)
            axes.plot(at + 0.5, above + 0.5, "o", color=DOT, markersize=4.2, markeredgewidth=0, gid="dots")
            axes.set_ylim(len(rows), 0)
            axes.set_yticks(np.arange(len(rows)) + 0.5, [clip(name) for name in rows])
            _heading(axes, label)

        self._panels.append((_TITLE, _ROW * len(rows), draw))

    def begin(self, column: int, label: str) -> None:
        """Mark where something begins: a dotted line through all panels, named at its top."""
        self._begins.append((column, label))

    def svg(self, name: str, description: str) -> Markup:
        """All panels and the axis of days, in a region that scrolls where the screen is narrow."""
        named = any(label for _, label in self._begins)
        top, bottom = 20 if named else 2, 40
        height = top + sum(space + inside for space, inside, _ in self._panels) + bottom
        chart = self.width * max(1, len(self.columns))
        width = _LEFT + chart + _RIGHT
        figure = new_figure(width, height)
        y = height - top
        for space, inside, draw in self._panels:
            y -= space + inside
            axes = figure.add_axes((_LEFT / width, y / height, chart / width, inside / height))
            axes.spines[:].set_visible(False)
            axes.set(xlim=(0, max(1, len(self.columns))), xticks=[])
            axes.yaxis.tick_right()
            draw(axes)
        self._axis(axes)
        self._rules(figure, axes, 1 - top / height)
        # Read from right to left, the scrolling part begins with the newest days.
        return Markup(
            '<div class="scroll newest" role="region" tabindex="0" aria-label="{}"><div dir="ltr">{}</div></div>'
        ).format("Days, the newest at the right", svg(figure, name, description))

    def _axis(self, axes: Axes) -> None:
        columns, labels = self.columns.ticks(self.width)
        axes.set_xticks([column + 0.5 for column in columns], labels)
        unit = self.columns.unit.capitalize()
        axes.annotate(
            unit, (1, 0), (8, -6), xycoords="axes fraction", textcoords="offset points", va="top", color=MUTED
        )

    def _rules(self, figure: Figure, axes: Axes, top: float) -> None:
        bottom = axes.get_position().y0
        across = blended_transform_factory(axes.transData, figure.transFigure)
        lines = [(column, INK, 1.2, (2, 3)) for column in dict(self._begins)]
        lines += [(column, MUTED, 1.0, (1, 4)) for column in self.columns.gaps]
        for column, colour, wide, dashes in lines:
            place: dict[str, Any] = {"transform": across, "color": colour, "linewidth": wide, "linestyle": (0, dashes)}
            figure.add_artist(Line2D([column, column], [bottom, top], **place))
        for column, label in self._begins:
            if label:
                late = column > len(self.columns) / 2
                figure.text(
                    column, top, label, transform=across, ha="right" if late else "left", va="bottom", weight="bold"
                )


def clip(name: str) -> str:
    """A name short enough for a row's label; its middle is left out, since features begin and end alike."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST // 2 - 1]}…{name[-(_LONGEST // 2) :]}"


def score_axis(scores: Sequence[float | None]) -> dict[str, Any]:
    """Ticks, limits and scale for drift scores: linear while all are small, logarithmic once one is beyond 4."""
    high = max([1.6, *(score for score in scores if score is not None)])
    level = {1.0: "alarm level 1"}
    if high <= 4:
        top = 1.08 * high
        steps = (0.0, 0.5, 1.5) if high <= 2 else (0.0, 2.0, 3.0, 4.0)
        return {"ticks": level | {step: f"{step:g}" for step in steps if step <= top}, "limits": (0.0, top)}
    top = 1.3 * high
    inside = (1, 3) if high <= 100 else (1,)
    decades = [step * 10.0**power for power in range(-1, 1 + math.ceil(math.log10(top))) for step in inside]
    ticks = level | {step: f"{step:g}" for step in decades if 0.1 <= step <= top and step != 1}
    return {"ticks": ticks, "limits": (0.1, top), "log": True}


def _heading(axes: Axes, label: str) -> None:
    """A bold label above the row labels of a panel."""
    axes.annotate(
        label,
        (1, 1),
        (8, 12),
        xycoords="axes fraction",
        textcoords="offset points",
        color=INK,
        weight="bold",
        annotation_clip=False,
    )
