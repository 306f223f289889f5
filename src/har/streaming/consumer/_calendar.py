"""Dates of the project's time zone, for times in µs."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo


class Calendar:
    """The date of a time; days that were asked for are remembered.

    Args:
        timezone: the project's, such as Europe/Berlin.
    """

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._days: list[tuple[int, int, str]] = []

    def date(self, time_us: int) -> str:
        """The local date of a time in µs since 1970, as YYYY-MM-DD."""
        for first, end, name in self._days:
            if first <= time_us < end:
                return name
        date = dt.datetime.fromtimestamp(time_us // 1_000_000, self._zone).date()
        first, end = self._midnight(date), self._midnight(date + dt.timedelta(days=1))
        self._days = [(first, end, date.isoformat()), *self._days[:3]]
        return date.isoformat()

    def _midnight(self, date: dt.date) -> int:
        midnight = dt.datetime.combine(date, dt.time(), self._zone)
        return round(midnight.timestamp()) * 1_000_000
