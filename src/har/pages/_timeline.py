"""What happened per column in, a picture out: lanes, curves and a heat map that share one axis of dates.

Row labels are a drawing of their own: they stay in sight while the other one scrolls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from markupsafe import Markup

from har.pages import _formatting as words
from har.pages._columns import Columns
from har.pages._svg import Drawing

LEVELS = (0.5, 0.75, 1.0, 1.5, 3.0)
"""Where the colours of the heat map change; the third one is the alarm level."""
_ROW, _LANE, _PANEL = 18.0, 22.0, 124.0
_MARGIN = 8.0
_PERIOD = 54.0
_WIDE = 120.0
_LETTER = 6.6
_LONGEST = 24

Tick = tuple[float, str]


def colour(score: float) -> str:
    """CSS class of a score: h0 … h2 lie below the alarm level, h3 … h5 at it or above."""
    return f"h{sum(score >= level for level in LEVELS)}"


class Timeline:
    """Filled from top to bottom, row by row."""

    def __init__(self, columns: Columns, labels: Sequence[str]) -> None:
        """`labels`: every row label that will come, which decides the width of their part."""
        longest = max([len(clip(label)) for label in labels], default=0)
        self.columns = columns
        self._labels = Drawing(max(96.0, 12 + _LETTER * longest))
        _, periods = columns.ticks()
        last = periods[-1][0] + _PERIOD if periods else 0.0
        self._chart = Drawing(max(columns.extent, last) + _MARGIN)
        self._y = 4.0
        self._top = 4.0
        self._rules: list[tuple[float, float]] = []

    def band(self, label: str, names: Sequence[str], hint: str) -> None:
        """One name per column, such as the model's version; equal neighbours are one bar. `hint` comes before it."""
        top, columns = self._y, self.columns
        self._label(label, top + 15)
        start, turn = 0, 0
        for index in range(1, len(names) + 1):
            if index < len(names) and names[index] == names[start]:
                continue
            left = columns.lefts[start]
            width = columns.lefts[index - 1] + columns.width - left
            title = f"{hint} {names[start]}, {columns.name(start)} to {columns.name(index - 1)}"
            self._chart.rect(left + 0.5, top + 2, width - 1, _LANE - 5, f"band{turn % 2}", title=title)
            if width >= 8 + _LETTER * len(names[start]):
                self._chart.text(left + 6, top + 15, names[start], "on-band")
            if width >= _WIDE:  # its beginning may be out of sight
                self._chart.text(left + width - 6, top + 15, names[start], "on-band", anchor="end")
            if start:
                self._rules.append((left, self._top))
            start, turn = index, turn + 1
        self._y += _LANE + 2

    def lane(self, label: str, marks: Mapping[int, str], shape: str, kind: str = "event") -> None:
        """Signs at some columns, each with what a pointer is told."""
        middle = self._y + _LANE / 2
        self._label(label, middle + 4)
        self._chart.line(0, middle, self.columns.extent, middle, "rule")
        for index, title in marks.items():
            self._chart.mark(self.columns.centre(index), middle, shape, kind, title=title)
        self._y += _LANE

    def curve(
        self,
        label: str,
        values: Sequence[float | None],
        *,
        ticks: Sequence[Tick],
        place: Callable[[float], float],
        titles: Sequence[str],
        level: float | None = None,
        alarmed: Collection[int] = (),
        kind: str = "curve",
    ) -> None:
        """A curve over the columns.

        Args:
            label: what it shows, above its ticks.
            values: one per column; None breaks the line.
            ticks: values with their labels; the first one wins where two would touch.
            place: from a value to 0 (bottom) … 1 (top).
            titles: what a pointer at a point is told.
            level: of an alarm: a dashed line.
            alarmed: columns whose points are marked.
            kind: CSS class of the line.
        """
        chart, columns = self._chart, self.columns
        self._label(label, self._y + 15, "strong")
        bottom = self._y + 28 + _PANEL

        def y(value: float) -> float:
            return bottom - _PANEL * min(1.0, max(0.0, place(value)))

        taken: list[float] = []
        for value, text in ticks:
            if any(abs(y(value) - other) < 14 for other in taken):
                continue
            taken.append(y(value))
            self._label(text, y(value) + 4, "strong" if value == level else "")
            chart.line(0, y(value), columns.extent, y(value), "level" if value == level else "rule")
        for run in _runs(values):
            chart.path([(columns.centre(at), y(value)) for at, value in run], kind)
        for at, point in enumerate(values):
            if point is not None and at in alarmed:
                chart.mark(columns.centre(at), y(point), "diamond", "alarm", title=titles[at])
            elif point is not None:
                chart.circle(columns.centre(at), y(point), 3.2, f"{kind}-dot", title=titles[at])
        self._y = bottom + 16

    def heat(self, rows: Mapping[str, Sequence[float | None]], said: Callable[[int], str]) -> None:
        """One row per feature, one score per column, None where there is none; a dot marks the alarm level reached."""
        columns = self.columns
        for name, scores in rows.items():
            self._label(clip(name), self._y + 13, title=name)
            for at, score in enumerate(scores):
                left, width = columns.lefts[at] + 0.5, columns.width - 1
                if score is None:
                    self._chart.rect(left, self._y + 0.5, width, _ROW - 1, "none")
                    continue
                title = f"{name}, {said(at)}: {words.score(score)}"
                self._chart.rect(left, self._y + 0.5, width, _ROW - 1, colour(score), title=title)
                if score >= 1:
                    self._chart.circle(columns.centre(at), self._y + _ROW / 2, 2.1, "dot")
            self._y += _ROW
        self._y += 6

    def heading(self, label: str) -> None:
        """A label above the rows that follow."""
        self._label(label, self._y + 15, "strong")
        self._y += 22

    def rule(self, index: int, label: str) -> None:
        """Mark where something begins: a line from top to bottom, named above the first row."""
        left = self.columns.lefts[index]
        self._rules.append((left, self._y))
        self._top = self._y + 18
        late = left > self.columns.extent / 2 and left + 8 + _LETTER * len(label) > self._chart.width
        self._chart.text(left + (-4 if late else 4), self._y + 12, label, "begins", anchor="end" if late else "start")

    def space(self, height: float) -> None:
        """Leave some room."""
        self._y += height

    def svg(self, description: str) -> Markup:
        """Both drawings, below them the axis."""
        fine, coarse = self.columns.ticks()
        for left, top in self._rules:
            self._chart.line(left, top, left, self._y, "begin")
        for left in self.columns.gaps:
            self._chart.line(left, 4, left, self._y, "gap", title="Days without a report are left out here")
        self._label({"day": "Day", "week": "Week", "month": "Month"}[self.columns.unit], self._y + 14)
        for x, text in fine:
            self._chart.text(x, self._y + 14, text, "tick", anchor="middle")
        below = self._y + (31 if fine else 14)
        for x, text in coarse:
            self._chart.line(x + 0.5, self._y + 1, x + 0.5, below + 2, "rule")
            self._chart.text(x + 4, below, text, "tick")
        self._labels.height = self._chart.height = below + 8
        # Read from right to left, the scrolling part begins with the newest days.
        return Markup(
            '<div class="history">{}<div class="scroll newest" role="region" tabindex="0" aria-label="{}">'
            '<div dir="ltr">{}</div></div></div>'
        ).format(self._labels.svg(""), "Days, the newest at the right", self._chart.svg(description))

    def _label(self, text: str, baseline: float, kind: str = "", *, title: str = "") -> None:
        self._labels.text(self._labels.width - 8, baseline, text, f"label {kind}", anchor="end", title=title)


def score_axis(scores: Sequence[float | None]) -> tuple[list[Tick], Callable[[float], float]]:
    """Ticks and places of drift scores: linear while all are small, logarithmic once one is beyond 4."""
    known = [score for score in scores if score is not None]
    high = max([1.6, *known])
    level = (1.0, "alarm level 1")
    if high <= 4:
        top = 1.08 * high
        steps = [0.0, 0.5, 1.5] if high <= 2 else [0.0, 2.0, 3.0, 4.0]
        return [level, *((step, f"{step:g}") for step in steps if step <= top)], lambda value: value / top
    low, top = math.log(0.1), math.log(1.3 * high)
    decades = [step * 10.0**power for power in range(-1, 5) for step in (1, 3)]
    ticks = [(step, f"{step:g}") for step in decades if step <= 1.3 * high and step != 1]
    return [level, *ticks], lambda value: (math.log(max(value, 0.1)) - low) / (top - low)


def clip(name: str) -> str:
    """A name that fits beside the chart: its middle gives way, since features begin and end alike."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST // 2 - 1]}…{name[-(_LONGEST // 2) :]}"


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Neighbouring values that are known; one alone needs no line."""
    runs: list[list[tuple[int, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if len(run) > 1]
