"""Dates in, the columns of a picture out: a day each while they fit, else a week, else a month.

Columns follow the days that have reports, not the calendar: a lake that holds a stray day of 1970 keeps its picture.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Unit = Literal["day", "week", "month"]

_DAYS = 62
_WEEKS = 106
_GAP = 6.0
_WIDEST, _NARROWEST, _FILLED = 46.0, 13.0, 860.0


@dataclass(frozen=True)
class Columns:
    """Where each date stands.

    Attributes:
        unit: what one column holds.
        groups: the dates of each column, in order.
        lefts: x of each column's left edge, in pixels.
        width: of one column.
        gaps: x of the places where days (weeks, months) without reports are left out.
        extent: x of the last column's right edge.
    """

    unit: Unit
    groups: tuple[tuple[dt.date, ...], ...]
    lefts: tuple[float, ...]
    width: float
    gaps: tuple[float, ...]
    extent: float

    @classmethod
    def of(cls, dates: Sequence[dt.date]) -> Columns:
        """Columns for these dates, which may come in any order."""
        days = sorted(set(dates))
        unit: Unit = "day"
        if len(days) > _DAYS:
            unit = "week" if len({_key(day, "week") for day in days}) <= _WEEKS else "month"
        grouped: dict[int, list[dt.date]] = {}
        for day in days:
            grouped.setdefault(_key(day, unit), []).append(day)
        width = min(_WIDEST, max(_NARROWEST, _FILLED / max(1, len(grouped))))
        lefts, gaps, x = [], [], 0.0
        previous = None
        for key in grouped:
            if previous is not None and key > previous + 1:
                gaps.append(x + _GAP / 2)
                x += _GAP
            lefts.append(x)
            x += width
            previous = key
        return cls(unit, tuple(map(tuple, grouped.values())), tuple(lefts), width, tuple(gaps), x)

    def __len__(self) -> int:
        return len(self.groups)

    def centre(self, index: int) -> float:
        """x of a column's middle."""
        return self.lefts[index] + self.width / 2

    def name(self, index: int) -> str:
        """What a column is called: a date, or the first and the last one that it holds."""
        dates = self.groups[index]
        return f"{dates[0]}" if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"

    def ticks(self) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
        """Labels of the axis, far enough apart: (x of the middle, days or months) and (x of the left, months or years).

        Weeks have only the second kind.
        """
        fine: list[tuple[float, str]] = []
        for index, dates in enumerate(self.groups):
            if self.unit != "week" and (not fine or self.centre(index) - fine[-1][0] >= 20):
                fine.append((self.centre(index), f"{dates[0]:%m}" if self.unit == "month" else f"{dates[0]:%d}"))
        period = "%Y" if self.unit == "month" else "%Y-%m"
        named = [dates[0].strftime(period) for dates in self.groups]
        starts = [0] * bool(named) + [here for here, (a, b) in enumerate(pairwise(named), 1) if a != b]
        coarse: list[tuple[float, str]] = []
        for index in reversed(starts):
            if not coarse or coarse[-1][0] - self.lefts[index] >= 58:
                coarse.append((self.lefts[index], named[index]))
        return fine, coarse[::-1]


def _key(day: dt.date, unit: Unit) -> int:
    """Numbers days, weeks (from Monday) or months: neighbours differ by 1."""
    if unit == "day":
        return day.toordinal()
    return (day.toordinal() - 1) // 7 if unit == "week" else 12 * day.year + day.month
