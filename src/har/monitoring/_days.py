"""The monitored days of a lake: which there are, and what is known of each, read only when it is asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import polars as pl

from har.lake import Lake, Table
from har.monitoring.decisions import DecisionLog, DecisionRow
from har.monitoring.drift import DayReport, DriftReports


class MonitoredDays:
    """Days with a report, and the decisions about them.

    Args:
        lake: where they are.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def marks(self) -> dict[dt.date, str]:
        """Per day with a report, in order, a text that changes with the report and with what was decided."""
        decided = _files(self._lake.decisions)
        return {date: f"{files} {decided.get(date, '')}" for date, files in _files(self._lake.drift).items()}

    def reports(self, dates: Collection[dt.date]) -> list[DayReport]:
        """The reports of these days, oldest first."""
        return DriftReports(self._lake).of(dates)

    def decisions(self, dates: Collection[dt.date]) -> list[DecisionRow]:
        """The decisions about these days, oldest first."""
        return DecisionLog(self._lake).of_dates(dates)


def _files(table: Table) -> dict[dt.date, str]:
    """The names of the files of each date, which change with their content."""
    names = table.file_names().group_by("date").agg(pl.col("path").sort().str.join(" ")).sort("date")
    return dict(names.iter_rows())
