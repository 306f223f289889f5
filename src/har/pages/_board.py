"""A page of figures about the running system: newest values as tiles, courses as small charts, section by section.

The same values are what `har top` shows in a terminal; where they come from is not known here.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from har.pages import _formatting as formatting
from har.pages._render import render

Look = Literal["good", "warn", "bad"]
_SHOWN = 6
"""Series of one chart; further ones are counted."""
_STYLES = 6
_WIDTH, _HEIGHT = 380, 150
_ABOVE = 1.25
"""A limit is drawn if it is no higher than this many times the largest value: a far one would flatten the course."""


@dataclass(frozen=True)
class Curve:
    """One series of a figure.

    Attributes:
        name: "" if it is the only one.
        points: (seconds since 1970, value), in the order of time.
        look: of the newest value; None: nothing says what is good.
        word: what the newest value is called in place of its number.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    look: Look | None = None
    word: str = ""

    @property
    def value(self) -> float:
        """The newest one."""
        return self.points[-1][1] if self.points else math.nan


@dataclass(frozen=True)
class FigureBox:
    """A figure with its values.

    Attributes:
        title: of the figure.
        section: the heading that it stands under.
        unit: "" a plain number, s, share, bytes, /s, age.
        kind: `stat`: the newest values; `line`: the courses.
        curves: its series, the most important first.
        limits: values from which on it looks warn or bad.
        help: what it means.
        empty: why there is no series; "" if there should be one.
    """

    title: str
    section: str
    unit: str
    kind: Literal["stat", "line"]
    curves: tuple[Curve, ...]
    limits: tuple[tuple[float, Look], ...] = ()
    help: str = ""
    empty: str = ""

    def text(self, curve: Curve) -> str:
        """The newest value of a curve, in words or with its unit."""
        return curve.word or amount(curve.value, self.unit)

    @property
    def shown(self) -> tuple[Curve, ...]:
        """The curves that there is room for."""
        return self.curves[:_SHOWN]

    @property
    def left_out(self) -> int:
        """How many further ones there are."""
        return len(self.curves) - len(self.shown)

    @property
    def look(self) -> Look | None:
        """The worst of its newest values."""
        looks = {curve.look for curve in self.curves}
        return next((look for look in ("bad", "warn", "good") if look in looks), None)


def amount(value: float, unit: str) -> str:
    """A value with its unit: `12 ms`, `0.2 %`, `3.4/s`, `1.2 GB`, `2 h 5 min`."""
    if not math.isfinite(value):
        return formatting.NOTHING
    if unit == "share":
        return formatting.percent(value)
    if unit == "/s":
        return f"{formatting.digits(value)}/s"
    if unit == "age":
        days, rest = divmod(value, 86_400)
        return f"{days:.0f} d {rest // 3600:.0f} h" if days else formatting.minutes(value / 60)
    if unit == "s":
        return f"{formatting.digits(1000 * value)} ms" if abs(value) < 1 else formatting.minutes(value / 60)
    if unit == "bytes":
        for power, name in ((9, "GB"), (6, "MB"), (3, "kB")):
            if abs(value) >= 10**power:
                return f"{formatting.digits(value / 10**power)} {name}"
        return f"{value:.0f} B"
    return formatting.count(value) if value == int(value) else formatting.digits(value)


def sections(figures: Sequence[FigureBox]) -> Iterator[tuple[str, list[FigureBox]]]:
    """The figures under their headings, in their order."""
    found: dict[str, list[FigureBox]] = {}
    for figure in figures:
        found.setdefault(figure.section, []).append(figure)
    yield from found.items()


def render_board(
    figures: Sequence[FigureBox],
    *,
    title: str,
    at: dt.datetime,
    span_s: float,
    state: str,
    other: tuple[str, str] | None = None,
) -> str:
    """One self-contained HTML page.

    Args:
        figures: of the page.
        title: its heading.
        at: when the values were read.
        span_s: how far back the courses go, in seconds.
        state: a sentence: what serves, and what is being released.
        other: file and title of the other page; None: there is none.
    """
    from har.pages._charts import style

    with style():
        charts = {
            figure.title: _chart(figure, f"chart{number}", at.timestamp() - span_s, at.timestamp())
            for number, figure in enumerate(figures)
            if figure.kind == "line" and figure.curves
        }
    return render(
        "board.html.j2",
        title=title,
        at=at,
        span=formatting.minutes(span_s / 60),
        state=state,
        other=other,
        sections=list(sections(figures)),
        charts=charts,
        styles=_STYLES,
        bad=[figure for figure in figures if figure.look == "bad"],
        warned=[figure for figure in figures if figure.look == "warn"],
    )


def _chart(figure: FigureBox, name: str, start: float, end: float) -> Markup:
    from har.pages._charts import ACCENT, GRID, MUTED, SECOND, new_figure, svg

    drawn = new_figure(_WIDTH, _HEIGHT)
    axes = drawn.add_axes((0.15, 0.16, 0.82, 0.78))
    largest = 0.0
    for number, curve in enumerate(figure.shown):
        points = [(when, value) for when, value in curve.points if math.isfinite(value)]
        largest = max([largest, *(value for _, value in points)])
        axes.plot(
            [when for when, _ in points],
            [value for _, value in points],
            color=(ACCENT, SECOND, MUTED)[number % 3],
            linestyle=("-", "--")[number // 3 % 2],
            linewidth=1.8,
        )
    for limit, look in figure.limits:
        if look != "good" and 0 < limit <= _ABOVE * largest:
            axes.axhline(limit, color=SECOND, linewidth=0.9, linestyle=":")
    top = largest * 1.08 or 1.0
    axes.set_xlim(start, end)
    axes.set_ylim(min(0.0, *(value for curve in figure.shown for _, value in curve.points if value < 0), 0.0), top)
    middle = (start + end) / 2
    labels = [f"{dt.datetime.fromtimestamp(when, dt.UTC):%H:%M}" for when in (start, middle, end)]
    axes.set_xticks([start, middle, end], labels)
    sides: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
    for label, side in zip(axes.get_xticklabels(), sides, strict=True):
        label.set_horizontalalignment(side)
    axes.set_yticks([0, largest / 2, largest] if largest else [0])
    axes.set_yticklabels([amount(value, figure.unit) for value in axes.get_yticks()])
    axes.tick_params(labelsize=10)
    axes.grid(axis="y", color=GRID)
    axes.spines["left"].set_visible(False)
    newest = "; ".join(f"{curve.name or figure.title}: {figure.text(curve)}" for curve in figure.shown)
    return svg(drawn, name, f"{figure.title}. Newest values: {newest}.")
