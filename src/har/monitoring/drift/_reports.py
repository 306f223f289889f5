"""The lake's table of daily drift reports."""

from __future__ import annotations

import datetime as dt

import polars as pl

from har.lake import Lake
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
        }
        table = self._lake.drift
        table.replace(pl.DataFrame([row], table.schema), [(report.date, EVERYONE)])

    def _later_than_profiles(self, date: dt.date) -> dt.datetime:
        """The time, but not before the day's profiles: a clock that was put back would leave the report outdated."""
        made = (
            self._lake.profiles.scan().filter(pl.col("date") == date).select(pl.col("made_at").max()).collect().item()
        )
        now = dt.datetime.now(dt.UTC)
        return now if made is None else max(now, made)

    def of(self, *, model_version: int | None = None, before: dt.date | None = None) -> list[DayReport]:
        """The days' reports, oldest first.

        Args:
            model_version: only those compared with this version's reference; None: all.
            before: only days before this one; None: all.

        Raises:
            MonitoringError: a report that this version cannot read.
        """
        rows = self._lake.drift.scan().select("date", "model_version", "report")
        if model_version is not None:
            rows = rows.filter(pl.col("model_version") == model_version)
        if before is not None:
            rows = rows.filter(pl.col("date") < before)
        return [
            DayReport.from_json(text, where=f"{self._lake.drift.where}, {date}")
            for date, _, text in self._lake.drift.collect(rows.sort("date")).iter_rows()
        ]
