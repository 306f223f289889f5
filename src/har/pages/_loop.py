"""The page about a whole loop: accuracy, drift score, model version and events, day by day; also as a table of text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, groupby
from typing import Any

from markupsafe import Markup

from har.pages import _formatting as formatting
from har.pages._render import render


@dataclass(frozen=True)
class LoopDay:
    """One day of the loop.

    Attributes:
        date: the day.
        accuracy: share of correct answers 0 … 1; None: the true activities are not known.
        score: the day's drift score, 1 is the alarm level; None: not monitored or not judged.
        alarmed: drift on this day.
        model_version: the version that answered.
        events: what happened: actions of the policy, or other words.
        phase: what neighbouring days have in common, such as "good" or "turned".
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
    """One self-contained HTML page: the chart over the days, and below it the same as a table.

    Args:
        rows: in any order; without any, the page says so.
        title: the page's heading.
    """
    days = _sorted(rows)
    return render(
        "loop.html.j2",
        title=title,
        days=days,
        parts=_parts(days),
        picture=_chart(days) if days else Markup(),
    )


def _sorted(rows: Sequence[LoopDay]) -> list[LoopDay]:
    return sorted(rows, key=lambda row: row.date)


def _texts(row: LoopDay) -> tuple[str, ...]:
    score = formatting.score(row.score) + (" alarm" if row.alarmed else "")
    events = ", ".join(formatting.action(event) for event in row.events)
    return (row.date.isoformat(), row.phase, formatting.percent(row.accuracy), score, str(row.model_version), events)


def _parts(days: Sequence[LoopDay]) -> list[_Part]:
    parts = []
    for (phase, version), group in groupby(days, key=lambda row: (row.phase, row.model_version)):
        rows = list(group)
        known = [row.accuracy for row in rows if row.accuracy is not None]
        mean = sum(known) / len(known) if known else None
        parts.append(_Part(phase, version, len(rows), sum(row.alarmed for row in rows), mean))
    return parts


def _chart(days: Sequence[LoopDay]) -> Markup:
    """The last day of a column stands for its model, the worst one for accuracy and score."""
    # matplotlib takes half a second to import.
    from har.pages._charts import ACCENT, style
    from har.pages._timeline import Columns, Lane, Timeline, score_axis

    columns = Columns.of([row.date for row in days])
    dates = {row.date: row for row in days}
    groups = [[dates[date] for date in group] for group in columns.groups]
    timeline = Timeline(columns)
    for index in range(1, len(groups)):
        if groups[index][-1].phase != groups[index - 1][-1].phase:
            timeline.begin(index, f"{groups[index][-1].phase} from {groups[index][0].date:%m-%d}")
    accuracy = [min((row.accuracy for row in group if row.accuracy is not None), default=None) for group in groups]
    scores = [max((row.score for row in group if row.score is not None), default=None) for group in groups]
    alarmed = [index for index, group in enumerate(groups) if any(row.alarmed for row in group)]
    timeline.curve("Accuracy", accuracy, colour=ACCENT, **_accuracy_axis(accuracy))
    timeline.curve("Drift score", scores, level=1.0, alarmed=alarmed, **score_axis(scores))
    timeline.band("Model version", [str(group[-1].model_version) for group in groups])
    # That another version serves is shown by the band of versions.
    events = dict.fromkeys(
        event for row in days for event in row.events if event != f"version {row.model_version} serves"
    )
    timeline.lanes(
        {
            formatting.action(event): Lane(
                [index for index, group in enumerate(groups) if any(event in row.events for row in group)], marker
            )
            for event, marker in zip(events, cycle("os^DX"), strict=False)
        }
    )
    parts = "; ".join(
        f"{part.phase}, model version {part.version}: accuracy {formatting.percent(part.accuracy)} on "
        f"{formatting.counted(part.days, 'day')}, {formatting.counted(part.alarms, 'alarm')}"
        for part in _parts(days)
    )
    with style():
        return timeline.svg("loop", f"Accuracy and drift score per day. {parts}.")


def _accuracy_axis(values: Sequence[float | None]) -> dict[str, Any]:
    """From a multiple of 10 % below all values up to 100 %."""
    lowest = min([0.9, *(value for value in values if value is not None)])
    first = int(10 * max(0.0, lowest - 0.03))
    step = 2 if first < 5 else 1
    return {
        "ticks": {tenth / 10: f"{10 * tenth} %" for tenth in range(10, first - 1, -step)},
        "limits": (first / 10, 1),
    }
