"""The lake's table of daily drift reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import polars as pl

from har.lake import Lake, Partition
from har.monitoring.drift._report import DayReport
from har.schema import EVERYONE


class DriftReports:
    """The reports in a lake, one per day.

    Args:
        lake: where they are.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def store(self, report: DayReport) -> None:
        """Store a day's report; replaces an earlier one of this day."""
        row = {
            "date": report.date,
            "subject": EVERYONE,
            "model_version": report.model_version,
            "score": report.score,
            "alarmed": report.alarmed,
            "confirmed": report.confirmed,
            "since": report.since,
            "report": report.to_json(),
            "made_at": self._later_than_profiles(report.date),
            "judged": report.judged,
        }
        table = self._lake.drift
        table.replace(pl.DataFrame([row], table.schema), [(report.date, EVERYONE)])

    def _later_than_profiles(self, date: dt.date) -> dt.datetime:
        """The time, but not before the day's profiles: a clock that was put back would leave the report outdated."""
        profiles = self._lake.profiles
        made: Any = profiles.read(partitions=profiles.partitions_within("date", date, date), columns=["made_at"])[
            "made_at"
        ].max()
        now = dt.datetime.now(dt.UTC)
        return now if made is None else max(now, made)

    def of(self, dates: Iterable[dt.date] | None = None) -> list[DayReport]:
        """The days' reports, oldest first.

        Args:
            dates: only of these days; None: of all.

        Raises:
            MonitoringError: a report that this version cannot read.
        """
        return [report for _, report in self._read(None if dates is None else [(date, EVERYONE) for date in dates])]

    def judged_before(
        self, date: dt.date, model_version: int, most: int, *, after: dt.date | None = None
    ) -> list[DayReport]:
        """The newest reports before a day that judged drift against this version's reference, oldest first.

        However long the history is, only the days that are needed are read.

        Args:
            date: the day after them.
            model_version: the version.
            most: how many; fewer if there are no more.
            after: only later days than this one.

        Raises:
            MonitoringError: a report that this version cannot read.
        """
        table = self._lake.drift
        first = None if after is None else after + dt.timedelta(days=1)
        days = set(table.partitions_within("date", first, date - dt.timedelta(days=1)))
        days &= set(table.partitions_within("model_version", model_version, model_version))
        left = sorted(days.intersection(table.partitions_within("judged", True, True)))
        found: list[DayReport] = []
        while left and len(found) < most:
            left, block = left[:-most], left[-most:]
            rows = [report for version, report in self._read(block) if version == model_version and report.judged]
            found = rows + found
        return found[-most:]

    def made_at(self, dates: Iterable[dt.date]) -> pl.DataFrame:
        """When these days' reports were made: date and made_at of those that have one."""
        return self._lake.drift.read(partitions=[(date, EVERYONE) for date in dates], columns=["date", "made_at"])

    def _read(self, partitions: Iterable[Partition] | None) -> list[tuple[int, DayReport]]:
        """Reports with the version that each was compared with, oldest first."""
        rows = self._lake.drift.read(partitions=partitions, columns=["date", "model_version", "report"]).sort("date")
        where = self._lake.drift.where
        return [
            (version, DayReport.from_json(text, where=f"{where}, {date}")) for date, version, text in rows.iter_rows()
        ]
