"""What a panel of a dashboard is, whoever draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Dashboard = Literal["operations", "model"]
Unit = Literal["", "s", "share", "bytes", "/s", "age"]
"""Of a panel's values: "" a plain number; s seconds; share 0 to 1; bytes; /s per second; age seconds, as a duration."""
Level = Literal["good", "warn", "bad"]
Kind = Literal["stat", "line"]
"""`stat`: the newest value of each series; `line`: over time."""


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and how its series are called.

    Attributes:
        promql: an instant vector.
        legend: a series' name, with its labels in braces: "{version}"; "": the expression gives one series.
    """

    promql: str
    legend: str = ""

    def name(self, labels: Mapping[str, str]) -> str:
        """What a series with these labels is called; a label that it lacks is empty."""
        return self.legend.format_map(_Labels(labels)).strip()


class _Labels(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        title: of the panel.
        dashboard: where it is.
        section: the row of the dashboard.
        queries: what it shows.
        unit: of the values.
        kind: a number or a course.
        levels: from which value on it looks how; below the first, good. Descending values: good is high.
        words: what a value is called in place of its number.
        help: one or two sentences: what it means, and what is normal.
        empty: why a query may have no result in a running system; "": it always has one.
    """

    title: str
    dashboard: Dashboard
    section: str
    queries: tuple[Query, ...]
    unit: Unit = ""
    kind: Kind = "line"
    levels: tuple[tuple[float, Level], ...] = ()
    words: Mapping[int, str] = field(default_factory=dict)
    help: str = ""
    empty: str = ""

    @property
    def falls(self) -> bool:
        """Whether small values are the bad ones."""
        return len(self.levels) > 1 and self.levels[0][0] > self.levels[1][0]

    def level(self, value: float) -> Level | None:
        """How a value looks; None: the panel has no levels."""
        if not self.levels or value != value:
            return None
        found: Level = "good"
        for bound, level in self.levels:
            if value <= bound if self.falls else value >= bound:
                found = level
        return found
