"""The lake's table of own histories: each subject's first quiet days, with which the subject's later days are compared.

A history has so many days as the settings say and does not follow the subject after that: a drift of one percent a day
would otherwise become its own history. A new model version, placement or device starts a new one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from har.lake import Lake, Partition
from har.monitoring.drift._own import OwnDay, is_complete
from har.monitoring.drift._report import DayReport
from har.monitoring.profiles import ByActivity, SubjectDay
from har.settings import Drift

_ORDER = ["subject", "day", "placement", "device"]


class OwnHistory:
    """The own histories in a lake.

    Args:
        lake: where they are.
    """

    def __init__(self, lake: Lake) -> None:
        self._table = lake.own_history

    def of(self, subjects: Collection[str], model_version: int) -> list[OwnDay]:
        """The days of these subjects' histories with this version, by subject and day.

        Raises:
            MonitoringError: a row that this version cannot read.
        """
        rows = self._rows(self._partitions(subjects)).filter(pl.col("model_version") == model_version)
        where = self._table.where
        return [
            OwnDay(
                subject=row["subject"],
                day=row["day"],
                placement=row["placement"],
                device=row["device"],
                by_activity=ByActivity.from_bytes(row["by_activity"], where=f"{where}, {row['subject']}, {row['day']}"),
            )
            for row in rows.iter_rows(named=True)
        ]

    def learn(self, report: DayReport, days: Sequence[SubjectDay], known: Sequence[OwnDay], settings: Drift) -> None:
        """Add the day to the histories that still need days, if it was quiet; take out what turned out to be drift.

        A day is quiet if it was judged, nothing alarmed, drift is not confirmed, and neither the subject's score, nor
        data quality, nor labels speak against it. Once drift is confirmed, days since it began are in no history, nor
        is a day that was quiet when it was judged first and is not now. Repeating this changes nothing.

        Args:
            report: the day's.
            days: its profiles.
            known: what `of` gave for the day's subjects.
            settings: how long a history is.
        """
        added = quiet_days(report, days, known, settings)
        touched = set(self._partitions({one.subject for one in [*added, *known] if one.day == report.date}))
        first = report.date
        if report.confirmed and report.since is not None:
            first = report.since
            touched |= set(self._table.partitions_within("day", first, report.date))
        if not touched and not added:
            return
        before = self._rows(touched)
        of_version = pl.col("model_version") == report.model_version
        kept = before.filter(of_version & ~pl.col("day").is_between(first, report.date))
        rows = pl.concat([kept, _frame(added, report.model_version, kept.schema)])
        rows = rows.with_columns(pl.col("day").min().over("subject").alias("date")).sort(_ORDER)
        if not rows.equals(before):
            self._table.replace(rows, touched | set(rows.select("date", "subject").unique().iter_rows()))

    def _partitions(self, subjects: Collection[str]) -> list[Partition]:
        wanted = set(subjects)
        return [one for one in self._table.partitions() if one[1] in wanted]

    def _rows(self, partitions: Collection[Partition]) -> pl.DataFrame:
        return self._table.read(partitions=partitions).sort(_ORDER)


def quiet_days(report: DayReport, days: Sequence[SubjectDay], known: Sequence[OwnDay], settings: Drift) -> list[OwnDay]:
    """What the day adds to the histories that are not complete yet."""
    dropped = report.performance is not None and report.performance.dropped
    if not report.judged or report.alarmed or report.confirmed or dropped or not settings.own_history_days:
        return []
    quiet = {one.name for one in report.slices if one.by == "subject" and not one.alarmed}
    quiet -= {one.subject for one in report.quality}
    found = []
    for day in days:
        if day.by_activity is None or not day.by_activity.windows or day.online or day.subject not in quiet:
            continue
        own = OwnDay(day.subject, report.date, day.placement, day.device, day.by_activity)
        others = [one for one in known if _place(one) == _place(own) and one.day != report.date]
        if not is_complete(others, settings):
            found.append(own)
    return found


def _place(one: OwnDay) -> tuple[str, str, str]:
    return one.subject, one.placement, one.device


def _frame(days: Sequence[OwnDay], version: int, schema: pl.Schema) -> pl.DataFrame:
    rows = [
        {
            "date": one.day,
            "subject": one.subject,
            "day": one.day,
            "placement": one.placement,
            "device": one.device,
            "model_version": version,
            "windows": one.by_activity.windows,
            "by_activity": one.by_activity.to_bytes(),
        }
        for one in days
    ]
    return pl.DataFrame(rows, schema)
