"""Days of a whole loop in, its curve out: accuracy, drift score, model version and events as a page and as a table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from har.pages import _formatting as words
from har.pages._columns import Columns
from har.pages._render import render
from har.pages._timeline import Tick, Timeline, clip, score_axis


@dataclass(frozen=True)
class LoopDay:
    """One day of the loop.

    Attributes:
        date: the day.
        accuracy: share of right answers 0 … 1, where the truth is known.
        score: the day's drift score, 1 is the alarm level; None: not monitored or not judged.
        alarmed: drift on this day.
        model_version: which answered.
        events: what happened: actions of the policy, or words.
        phase: what the days were like, such as "good" and "turned"; where it changes, something began.
    """

    date: dt.date
    accuracy: float | None
    score: float | None
    alarmed: bool
    model_version: int
    events: tuple[str, ...]
    phase: str


@dataclass(frozen=True)
class _Part:
    """Neighbouring days of one phase under one model."""

    phase: str
    version: int
    days: int
    alarms: int
    accuracy: float | None


def loop_table(rows: Sequence[LoopDay]) -> list[tuple[str, ...]]:
    """The days as rows of text, the first row being the headings."""
    header = ("day", "phase", "accuracy", "drift score", "model", "events")
    return [header, *(_texts(row) for row in _sorted(rows))]


def render_loop(rows: Sequence[LoopDay], *, title: str) -> str:
    """One self-contained HTML page: the curve over the days, below it the same as a table.

    Args:
        rows: in any order; none give a page that says so.
        title: the page's heading.
    """
    days = _sorted(rows)
    return render(
        "drift_loop.html.j2",
        title=title,
        days=days,
        parts=_parts(days),
        picture=_picture(days) if days else "",
    )


def _sorted(rows: Sequence[LoopDay]) -> list[LoopDay]:
    return sorted(rows, key=lambda row: row.date)


def _texts(row: LoopDay) -> tuple[str, ...]:
    score = words.score(row.score) + (" alarm" if row.alarmed else "")
    events = ", ".join(words.action(event) for event in row.events)
    return (row.date.isoformat(), row.phase, words.percent(row.accuracy), score, str(row.model_version), events)


def _parts(days: Sequence[LoopDay]) -> list[_Part]:
    parts = []
    for (phase, version), group in groupby(days, key=lambda row: (row.phase, row.model_version)):
        rows = list(group)
        known = [row.accuracy for row in rows if row.accuracy is not None]
        mean = sum(known) / len(known) if known else None
        parts.append(_Part(phase, version, len(rows), sum(row.alarmed for row in rows), mean))
    return parts


def _picture(days: Sequence[LoopDay]) -> Markup:
    # A column may hold several days of a long loop; the last one stands for its model, the worst for the rest.
    columns = Columns.of([row.date for row in days])
    by_date = {row.date: row for row in days}
    groups = [[by_date[date] for date in group] for group in columns.groups]
    events = list(dict.fromkeys(event for row in days for event in row.events if event != _serves(row)))
    labels = [words.action(event) for event in events]
    timeline = Timeline(columns, ["Accuracy on labelled", "alarm level 1", "Model version", *labels])
    begins = [
        index
        for index in range(1, len(groups))
        if groups[index][0].phase != groups[index - 1][-1].phase or len({row.phase for row in groups[index]}) > 1
    ]
    for index in begins:
        timeline.rule(index, f"{groups[index][-1].phase} from {groups[index][0].date:%m-%d}")
    timeline.space(18 if begins else 0)
    accuracy = [min((row.accuracy for row in group if row.accuracy is not None), default=None) for group in groups]
    ticks, place = _accuracy_axis(accuracy)
    titles = [f"{columns.name(index)}: {words.percent(value)}" for index, value in enumerate(accuracy)]
    timeline.curve("Accuracy", accuracy, ticks=ticks, place=place, titles=titles, kind="accuracy")
    scores = [max((row.score for row in group if row.score is not None), default=None) for group in groups]
    levels, at = score_axis(scores)
    titles = [f"{columns.name(index)}: {words.score(value)}" for index, value in enumerate(scores)]
    alarmed = {index for index, group in enumerate(groups) if any(row.alarmed for row in group)}
    timeline.curve("Drift score", scores, ticks=levels, place=at, titles=titles, level=1.0, alarmed=alarmed)
    timeline.band("Model version", [str(group[-1].model_version) for group in groups], "Model version")
    shapes = ("circle", "square", "triangle", "diamond", "cross")
    for number, event in enumerate(events):
        marks = {
            index: f"{columns.name(index)}: {words.action(event)}"
            for index, group in enumerate(groups)
            if any(event in row.events for row in group)
        }
        timeline.lane(clip(words.action(event)), marks, shapes[number % len(shapes)])
    told = "; ".join(
        f"{part.phase}, model version {part.version}: accuracy {words.percent(part.accuracy)} on "
        f"{words.counted(part.days, 'day')}, {words.counted(part.alarms, 'alarm')}"
        for part in _parts(days)
    )
    return timeline.svg(f"Accuracy and drift score per day. {told}.")


def _serves(row: LoopDay) -> str:
    """An event that the band of model versions tells already."""
    return f"version {row.model_version} serves"


def _accuracy_axis(values: Sequence[float | None]) -> tuple[list[Tick], Callable[[float], float]]:
    low = 0.1 * int(10 * max(0.0, min([0.9, *(value for value in values if value is not None)]) - 0.03))
    steps = [round(low + 0.1 * step, 1) for step in range(round(10 * (1 - low)) + 1)]
    return [(step, f"{100 * step:.0f} %") for step in (1.0, *steps)], lambda value: (value - low) / (1 - low)
