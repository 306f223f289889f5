"""The page about all monitored days: the history of scores, alarms, decisions and models, newest day first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import Protocol

from markupsafe import Markup

from har.monitoring.profiles import CONFIDENCE
from har.pages import _formatting as formatting
from har.pages._render import render
from har.pages._summaries import DaySummary

_FEATURES = 25
"""Show at most this many features in the heat map."""
_OF_A_DAY = 5
"""A feature is in the heat map if it was among this many worst ones of a day."""
LISTED = 60
"""The tables show this many days and promotions; older ones are on the pages of their years."""


class Move(Protocol):
    """What is shown of one line of the promotion log: `har.registry.Promotion` has it."""

    @property
    def when(self) -> dt.datetime: ...
    @property
    def who(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def champion_before(self) -> int | None: ...
    @property
    def champion_after(self) -> int | None: ...
    @property
    def reason(self) -> str: ...


def render_index(days: Sequence[DaySummary], promotions: Sequence[Move], *, title: str) -> str:
    """One self-contained HTML page; links lead to the days' pages and to those of earlier years beside it.

    Its size does not grow with the history: the chart has a column per day, week or month, and the tables have the
    newest days and promotions; the others are on the pages of their years.

    Args:
        days: all, in order.
        promotions: the registry's log.
        title: the project's name.
    """
    rows = _heat_rows(days)
    unit, picture = _chart(days, rows) if days else ("day", Markup())
    return render(
        "history.html.j2",
        title=title,
        days=days[::-1],
        moves=_newest_first(promotions),
        years=years_before(days, promotions),
        picture=picture,
        confidence=CONFIDENCE in rows,
        unit=unit,
        judged=sum(day.judged for day in days),
        alarms=sum(day.alarmed for day in days),
        scale=_scale(),
        listed=LISTED,
    )


def render_year(
    year: int, days: Sequence[DaySummary], promotions: Sequence[Move], *, title: str, content_id: str
) -> str:
    """One page with a table of all days and promotions of a year.

    Args:
        year: the year.
        days: all of the history, in order.
        promotions: the registry's log.
        title: the project's name.
        content_id: identifies the content; the page carries it in its head.
    """
    return render(
        "year.html.j2",
        content_id=content_id,
        title=title,
        year=year,
        days=[day for day in days[::-1] if day.date.year == year],
        moves=[move for move in _newest_first(promotions) if move.when.year == year],
    )


def years_before(days: Sequence[DaySummary], promotions: Sequence[Move]) -> list[int]:
    """Years of which the history lists days or promotions no longer, the newest first: they have a page each."""
    older = {day.date.year for day in days[:-LISTED]}
    return sorted(older | {move.when.year for move in _newest_first(promotions)[LISTED:]}, reverse=True)


def _newest_first(promotions: Sequence[Move]) -> list[Move]:
    return sorted(promotions, key=lambda move: move.when, reverse=True)


def _chart(days: Sequence[DaySummary], features: Sequence[str]) -> tuple[str, Markup]:
    """What one column holds, and the chart. The last day of a column stands for its model, the worst for its score."""
    # matplotlib takes half a second to import.
    from har.pages._charts import style
    from har.pages._timeline import Columns, Lane, Timeline, score_axis

    columns = Columns.of([day.date for day in days])
    dates = {day.date: day for day in days}
    groups = [[dates[date] for date in group] for group in columns.groups]

    def where(true: Callable[[DaySummary], bool]) -> list[int]:
        return [index for index, group in enumerate(groups) if any(true(day) for day in group)]

    def decided(action: str) -> list[int]:
        return where(lambda day: action in day.actions)

    promoted, rolled_back = _model_changes(days)
    lanes = {
        "Not judged": Lane(where(lambda day: not day.judged), "o", "quiet"),
        "Drift alarm": Lane(where(lambda day: day.alarmed), "D", "alarm"),
        "Drift confirmed": Lane(where(lambda day: day.judged and day.confirmed), "s", "alarm"),
        "Faulty data": Lane(decided("alert"), "^", "alarm"),
        "Labels requested": Lane(decided("ask"), "o"),
        "On hold": Lane(decided("hold"), "s"),
        "Retraining": Lane(decided("retrain"), "^"),
        "Promoted": Lane(where(lambda day: day.date in promoted), "D"),
        "Rolled back": Lane(where(lambda day: day.date in rolled_back), "X"),
    }
    scores = [max((day.score for day in group if day.judged), default=None) for group in groups]
    timeline = Timeline(columns)
    timeline.band("Model version", [str(group[-1].model_version) for group in groups])
    timeline.curve("Score of the day", scores, level=1.0, alarmed=where(lambda day: day.alarmed), **score_axis(scores))
    timeline.lanes({label: lane for label, lane in lanes.items() if lane.columns})
    if features:
        timeline.heat("Worst features", {name: [_score(name, group) for group in groups] for name in features})
    alarms = [day.date.isoformat() for day in days if day.alarmed]
    latest = f"alarms on {', '.join(alarms[-5:])}" if alarms else "no alarm"
    more = f" and {formatting.counted(len(alarms) - 5, 'earlier day')}" if len(alarms) > 5 else ""
    with style():
        return columns.unit, timeline.svg(
            "history",
            f"History of {formatting.counted(len(days), 'day')}: score of the day, model version, decisions, and a "
            f"heat map of {formatting.counted(len(features), 'feature')}; {latest}{more}.",
        )


def _model_changes(days: Sequence[DaySummary]) -> tuple[set[dt.date], set[dt.date]]:
    """Dates on which a newer version answers than before, and dates of a rollback.

    They come from the reports: the promotion log's times are the clock's, and days monitored late lie elsewhere on
    this axis. A rollback by monitoring is marked on the day of its decision only, not again on the next day.
    """
    promoted: set[dt.date] = set()
    rolled_back = {day.date for day in days if "rollback" in day.actions}
    for before, day in pairwise(days):
        if day.model_version > before.model_version:
            promoted.add(day.date)
        elif day.model_version < before.model_version and not rolled_back & {before.date, day.date}:
            rolled_back.add(day.date)
    return promoted, rolled_back


def _heat_rows(days: Sequence[DaySummary]) -> list[str]:
    """Features that were ever among the worst of a judged day, the one with the highest score first."""
    peaks: dict[str, float] = {}
    for day in days:
        for name, score in islice(day.features.items(), _OF_A_DAY) if day.judged else ():
            peaks[name] = max(score, peaks.get(name, 0.0))
    return sorted(peaks, key=lambda name: (-peaks[name], name))[:_FEATURES]


def _score(name: str, group: Sequence[DaySummary]) -> float | None:
    found = [day.features[name] for day in group if day.judged and name in day.features]
    return max(found, default=None)


def _scale() -> list[tuple[int, str, bool]]:
    """The colours of the heat map: level, scores it stands for, and whether it has reached the alarm level."""
    levels = formatting.LEVELS
    labels = [f"below {levels[0]:g}"]
    labels += [f"{low:g} to {high:g}" for low, high in pairwise(levels)]
    labels.append(f"{levels[-1]:g} and more")
    return [(level, label, level >= levels.index(1.0) + 1) for level, label in enumerate(labels)]
