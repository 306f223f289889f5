"""Figures of the lake's tables, from their logs; a table that has not changed is not read again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import polars as pl

from har.lake import Lake, Table
from har.schema import Partition
from infra.observability.figures._metric import Gauge, gauge


class Changes:
    """Tells whether tables were written since the last look; costs a `stat` of each, or a request on object storage.

    Args:
        lake: the tables.
        names: of those that matter.
    """

    def __init__(self, lake: Lake, *names: str) -> None:
        self._tables: list[Table] = [getattr(lake, name) for name in names]
        self._local = lake.location.is_local
        self._seen: tuple[int, ...] | None = None

    def any(self) -> bool:
        """Whether one of them was written, or this is the first look."""
        now = tuple(map(self._state, self._tables))
        changed, self._seen = now != self._seen, now
        return changed

    def _state(self, table: Table) -> int:
        if not self._local:
            return table.version()
        log = table.path / "_delta_log"
        return log.stat().st_mtime_ns if log.exists() else 0

    def forget(self) -> None:
        """Count as changed the next time: what was read is not known."""
        self._seen = None


class LakeFigures:
    """Rows and age of each table, the newest sample, and the days that wait to be scored.

    Args:
        lake: the tables.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._changed = {table.name: Changes(lake, table.name) for table in lake.tables}
        self._unscored_changed = Changes(lake, "recordings", "scores")
        self._rows: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._newest: float | None = None
        self._unscored: dict[Partition, float] = {}

    def __call__(self) -> list[Gauge]:
        """The figures now."""
        for table in self._lake.tables:
            self._read_table(table.name)
        if self._unscored_changed.any():
            try:
                self._unscored = unscored(self._lake)
            except BaseException:
                self._unscored_changed.forget()
                raise
        return [
            gauge("table_rows", "Rows of a table of the lake", self._rows, labels=["table"]),
            gauge(
                "table_changed_timestamp_seconds",
                "When a table of the lake was written last",
                self._written,
                labels=["table"],
            ),
            gauge("newest_sample_timestamp_seconds", "When the newest sample was measured", self._newest),
            gauge("unscored_days", "Dates with recordings that no model has scored", len(_dates(self._unscored))),
            gauge(
                "unscored_since_timestamp_seconds",
                "When the oldest recording that no model has scored was ingested",
                min(self._unscored.values(), default=None),
            ),
        ]

    def _read_table(self, name: str) -> None:
        changes = self._changed[name]
        if not changes.any():
            return
        table = getattr(self._lake, name)
        try:
            self._rows[name] = table.count()
            written = table.written_at()
            if written:
                self._written[name] = max(written.values())
            if name == "samples":
                last = max((last for _, last in table.spans("time").values()), default=None)
                self._newest = None if last is None else last / 1e6
        except BaseException:
            changes.forget()
            raise


def unscored(lake: Lake) -> dict[Partition, float]:
    """Subject-days whose present recordings no model has scored, with the time at which the first was ingested.

    As `har.jobs.score.pending` finds them, but damage of the tables is not looked for: `har check` does that.
    """
    columns = ["date", "subject", "content"]
    scored = {(date, subject): content for date, subject, content in lake.scores.read(columns=columns).iter_rows()}
    wanted = {part for part, content in lake.contents().items() if scored.get(part) != content}
    if not wanted:
        return {}
    written = lake.recordings.written_at()
    ingested: Mapping[Partition, dt.datetime | None] = {
        (date, subject): when
        for date, subject, when in lake.recordings.read(columns=["date", "subject", "ingested_at"])
        .group_by("date", "subject")
        .agg(pl.col("ingested_at").min())
        .iter_rows()
    }
    return {part: when.timestamp() if (when := ingested[part]) else written[part] for part in wanted}


def _dates(partitions: Mapping[Partition, float]) -> set[dt.date]:
    return {date for date, _ in partitions}
