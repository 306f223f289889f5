"""Reports of many days in, one page out: the history of scores, alarms, decisions and models, newest day first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from markupsafe import Markup

from har.monitoring import _words as words
from har.monitoring._columns import Columns
from har.monitoring._page import render
from har.monitoring._svg import Drawing
from har.monitoring._timeline import LEVELS, Timeline, colour, score_axis
from har.monitoring.decisions import DecisionRow
from har.monitoring.drift import DayReport
from har.monitoring.profiles import CONFIDENCE

_FEATURES = 25
"""Rows of the heat map."""
_OF_A_DAY = 5
"""A feature is in the heat map if it was among so many worst ones of a day."""
_LISTED = 60
"""Days and moves that the tables show at once; older ones fold away."""

_LANES = {
    "alert": ("Faulty data", "triangle", "fault"),
    "ask": ("Labels asked for", "circle", "event"),
    "hold": ("Held", "square", "event"),
    "retrain": ("Retraining", "triangle", "event"),
}


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


def render_index(
    reports: Sequence[DayReport], decisions: Sequence[DecisionRow], promotions: Sequence[Move], *, title: str
) -> str:
    """One self-contained HTML page; links lead to the days' pages beside it.

    Args:
        reports: of all days, in any order; of two about one date the later one counts.
        decisions: the policy's log.
        promotions: the registry's log.
        title: the project's name.
    """
    days = in_order(reports)
    history = _History(days, decisions) if days else None
    return render(
        "drift_index.html.j2",
        title=title,
        days=days[::-1],
        decisions=by_date(decisions),
        moves=sorted(promotions, key=lambda move: move.when, reverse=True),
        picture=history.svg() if history else "",
        confidence=history is not None and CONFIDENCE in history.rows,
        unit=Columns.of([day.date for day in days]).unit,
        judged=sum(day.judged for day in days),
        alarms=sum(day.alarmed for day in days),
        scale=_scale(),
        listed=_LISTED,
    )


def in_order(reports: Sequence[DayReport]) -> list[DayReport]:
    """By date, one a date."""
    return [day for _, day in sorted({report.date: report for report in reports}.items())]


def by_date(decisions: Sequence[DecisionRow]) -> dict[dt.date, list[DecisionRow]]:
    """Each day's decisions in the order in which they were taken."""
    found: dict[dt.date, list[DecisionRow]] = {}
    for row in sorted(decisions, key=lambda row: row.decided_at):
        found.setdefault(row.date, []).append(row)
    return found


class _History:
    def __init__(self, days: Sequence[DayReport], decisions: Sequence[DecisionRow]) -> None:
        self.days = days
        self.columns = Columns.of([day.date for day in days])
        dates = {day.date: day for day in days}
        self.groups = [[dates[date] for date in group] for group in self.columns.groups]
        self.decisions = by_date(decisions)
        self.rows = self._rows()

    def svg(self) -> Markup:
        rows = self.rows
        timeline = Timeline(self.columns, ["Labels asked for", "alarm level 1", *rows])
        # Where a column holds several days, the last one's model and the worst one's score stand for it.
        timeline.band("Model version", [str(group[-1].model_version) for group in self.groups], "Model version")
        self._curve(timeline)
        for label, shape, kind, marks in self._lanes():
            if marks:
                timeline.lane(label, marks, shape, kind)
        if rows:
            timeline.heading("Worst features")
            timeline.heat(rows, self.columns.name)
        alarms = [day.date.isoformat() for day in self.days if day.alarmed]
        told = f"alarms on {', '.join(alarms[-5:])}" if alarms else "no alarm"
        more = f" and {len(alarms) - 5} earlier days" if len(alarms) > 5 else ""
        return timeline.svg(
            f"History of {words.counted(len(self.days), 'day')}: score of the day, model version, decisions, and a "
            f"heat map of {words.counted(len(rows), 'feature')}; {told}{more}."
        )

    def _curve(self, timeline: Timeline) -> None:
        scores = [_worst(day.score for day in group if day.judged) for group in self.groups]
        ticks, place = score_axis(scores)
        titles = [
            f"{self.columns.name(index)}: score {words.score(score)}, "
            f"{words.STATES[words.state(max(group, key=lambda day: (day.judged, day.score)))].lower()}"
            for index, (score, group) in enumerate(zip(scores, self.groups, strict=True))
        ]
        alarmed = {index for index, group in enumerate(self.groups) if any(day.alarmed for day in group)}
        timeline.curve("Score of the day", scores, ticks=ticks, place=place, titles=titles, level=1.0, alarmed=alarmed)

    def _lanes(self) -> list[tuple[str, str, str, Mapping[int, str]]]:
        lanes: list[tuple[str, str, str, Mapping[int, str]]] = [
            ("Not judged", "circle", "quiet", self._marks(lambda day: "not judged" if not day.judged else "")),
            ("Drift alarm", "diamond", "alarm", self._marks(lambda day: "alarm" if day.alarmed else "")),
            (
                "Drift confirmed",
                "square",
                "alarm",
                self._marks(lambda day: f"confirmed since {day.since}" if day.judged and day.confirmed else ""),
            ),
        ]
        lanes += [
            (label, shape, kind, self._marks(lambda day, action=action: self._did(day, action)))  # type: ignore[misc]
            for action, (label, shape, kind) in _LANES.items()
        ]
        moves = self._moves()
        for up, label, shape in ((True, "Promoted", "diamond"), (False, "Rolled back", "cross")):
            lanes.append((label, shape, "event", self._marks(lambda day, up=up: moves.get((day.date, up), ""))))  # type: ignore[misc]
        return lanes

    def _marks(self, told: Callable[[DayReport], str]) -> dict[int, str]:
        marks = {}
        for index, group in enumerate(self.groups):
            sentences = [f"{day.date}: {sentence}" for day in group if (sentence := told(day))]
            if sentences:
                marks[index] = "; ".join(sentences)
        return marks

    def _did(self, day: DayReport, action: str) -> str:
        return "; ".join(" ".join(row.reasons) for row in self.decisions.get(day.date, ()) if row.action == action)

    def _moves(self) -> dict[tuple[dt.date, bool], str]:
        """Dates on which another version answers than before, and whether it is a newer one.

        The promotion log's moments are the clock's, and days that are caught up lie elsewhere on this axis.
        """
        found = {
            (date, False): "roll back"
            for date, rows in self.decisions.items()
            if any(r.action == "rollback" for r in rows)
        }
        before = self.days[0]
        for day in self.days[1:]:
            up = day.model_version > before.model_version
            decided = any((date, False) in found for date in (before.date, day.date))
            if up or (day.model_version < before.model_version and not decided):
                found[day.date, up] = f"version {day.model_version} after version {before.model_version}"
            before = day
        return found

    def _rows(self) -> dict[str, list[float | None]]:
        """Scores per column of the features that were ever among the worst, the highest score first."""
        peaks: dict[str, float] = {}
        for day in self.days:
            for feature in day.features[:_OF_A_DAY] if day.judged else ():
                peaks[feature.name] = max(feature.score, peaks.get(feature.name, 0.0))
        chosen = sorted(peaks, key=lambda name: (-peaks[name], name))[:_FEATURES]
        rows: dict[str, list[float | None]] = {name: [None] * len(self.groups) for name in chosen}
        for index, group in enumerate(self.groups):
            for day in group:
                for feature in day.features if day.judged else ():
                    if feature.name in rows:
                        row = rows[feature.name]
                        row[index] = max(feature.score, row[index] or 0.0)
        return rows


def _worst(scores: Iterable[float]) -> float | None:
    return max(scores, default=None)


def _scale() -> list[tuple[Markup, str]]:
    """The colours of the heat map with the scores that they stand for."""
    found = []
    for low, high in zip((0.0, *LEVELS), (*LEVELS, None), strict=True):
        drawing = Drawing(14, 14)
        drawing.rect(0, 0, 14, 14, colour(low))
        if low >= 1:
            drawing.circle(7, 7, 2.1, "dot")
        label = f"{low:g} and more" if high is None else f"{low:g} to {high:g}" if low else f"below {high:g}"
        found.append((drawing.svg(""), label))
    return found
