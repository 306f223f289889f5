"""The lake's table of profiles: what the model saw on a day, which days are profiled, and the removal of old ones."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from har.lake import Lake, Partition, newest_day
from har.monitoring.profiles._by_activity import ByActivity
from har.monitoring.profiles._profile import Profile

_BATCH = 500
"""Partitions removed per commit."""


@dataclass(frozen=True)
class SubjectDay:
    """What the model saw of a subject on one day, at one placement with one device; `online` or by the nightly job.

    `by_activity` is None in the rows of older releases, and where the model has no reference.
    """

    subject: str
    placement: str
    device: str
    online: bool
    profile: Profile
    by_activity: ByActivity | None = None


class Profiles:
    """The profiles in a lake.

    Args:
        lake: where they are.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def of_day(self, date: dt.date, model_version: int | None = None) -> list[SubjectDay]:
        """What the model saw on a day, by subject, placement and device.

        For a subject with windows scored by the nightly job, online windows are left out: they show the same movement.

        Args:
            date: the day.
            model_version: what this version saw; None: any.

        Raises:
            MonitoringError: a profile that this version cannot read.
        """
        table = self._lake.profiles
        rows = table.read(partitions=table.partitions_within("date", date, date))
        if model_version is not None:
            rows = rows.filter(pl.col("model_version") == model_version)
        rows = _counted_once(rows)
        where = table.where
        return [
            SubjectDay(
                subject=row["subject"],
                placement=row["placement"],
                device=row["device"],
                online=row["online"],
                profile=Profile.from_bytes(row["profile"], where=f"{where}, {row['date']}, subject {row['subject']}"),
                by_activity=None
                if row["by_activity"] is None
                else ByActivity.from_bytes(row["by_activity"], where=f"{where}, {row['date']}, {row['subject']}"),
            )
            for row in rows.sort("subject", "placement", "device", "online", "model_version").iter_rows(named=True)
        ]

    def done(self, model_version: int, keep_days: int) -> set[Partition]:
        """Partitions that need no profile by this version: they have one, or are older than profiles are kept.

        Args:
            model_version: the version.
            keep_days: `monitoring.keep_days`.
        """
        nightly = (pl.col("model_version") == model_version) & ~pl.col("online")
        found = self._lake.profiles.extract().filter(nightly).select("date", "subject")
        oldest = self.oldest_kept(keep_days)
        old = [] if oldest is None else [one for one in self._lake.samples.partitions() if one[0] < oldest]
        return {*found.iter_rows(), *old}

    def oldest_kept(self, keep_days: int) -> dt.date | None:
        """The first day whose profiles are kept; None without profiles.

        Age counts from the newest profiled day; dates in the future (a wrong device clock) are ignored.
        """
        dates = [date for date, _ in self._lake.profiles.partitions()]
        return newest_day(dates) - dt.timedelta(days=keep_days) if dates else None

    def remove_old(self, keep_days: int) -> int:
        """Delete profiles older than `keep_days`; a killed run leaves whole days, which the next one deletes.

        Returns:
            How many subject-days were deleted.
        """
        oldest = self.oldest_kept(keep_days)
        table = self._lake.profiles
        old = [] if oldest is None else [one for one in table.partitions() if one[0] < oldest]
        for first in range(0, len(old), _BATCH):
            table.replace(pl.DataFrame(schema=table.schema), old[first : first + _BATCH])
        return len(old)


def _counted_once(rows: pl.DataFrame) -> pl.DataFrame:
    """Without online rows of subjects' days of which the nightly job scored windows."""
    nightly = (~pl.col("online") & (pl.col("windows") > 0)).any().over("date", "subject")
    return rows.filter(~(pl.col("online") & nightly))
