"""What can be read of a table: rows, partitions and counts, now or at an earlier version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from har.errors import LakeDamageError
from har.lake._commits import Commits
from har.lake._extract import Extract
from har.lake._reader import Reader
from har.lake._snapshot import PARTITION, Snapshot, of_partitions
from har.lake._where import in_order
from har.schema import TIME, Partition
from har.storage import Location


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table, which any engine can read; its columns are those of the table but date and subject.

    Attributes:
        date: of all its rows.
        subject: likewise; in the path it is percent-encoded.
        path: absolute path, or address on object storage.
        rows: their number.
        size: bytes.
    """

    date: dt.date
    subject: str
    path: str
    rows: int
    size: int


class ReadableTable:
    """The reading half of `Table`, which has the arguments."""

    def __init__(
        self,
        place: Path | Location,
        schema: pl.Schema,
        *,
        added: Iterable[str],
        rebuild: str,
        extract: Iterable[str],
        counted: bool,
    ) -> None:
        self.where = Location.at(place)
        self.name = self.where.name
        self.schema = schema
        self.rebuild = rebuild
        self._reader = Reader(self.where, schema, frozenset(added), rebuild)
        # Object storage loses no commit that it has acknowledged.
        self._commits = Commits(self.where.local) if self.where.is_local else None
        self._extract = Extract(self._reader, extract, counted)

    @property
    def path(self) -> Path:
        """The table's folder.

        Raises:
            StorageError: it is on object storage.
        """
        return self.where.local

    def version(self) -> int:
        """The newest version, -1 before the first write."""
        table = self._open()
        return -1 if table is None else table.version

    def scan(self, version: int | None = None, partitions: Iterable[Partition] | None = None) -> pl.LazyFrame:
        """The table, or some of its partitions, lazily, at a version (None: the newest); empty before a first write.

        Collect it with `collect`, which explains damage.
        """
        table = self._open(version)
        return pl.LazyFrame(schema=self.schema) if table is None else self._reader.scan(table, partitions)

    def scan_within(self, column: str, first: Any, last: Any) -> pl.LazyFrame:
        """The newest version's rows with a value of a column between two bounds; other files are not opened.

        Args:
            column: whose least and greatest values per file are in the log.
            first: least value; None: any.
            last: greatest value; None: any.
        """
        table = self._open()
        if table is None:
            return pl.LazyFrame(schema=self.schema)
        rows = self._reader.scan(table, rows=table.within(column, first, last))
        if first is not None:
            rows = rows.filter(pl.col(column) >= first)
        return rows if last is None else rows.filter(pl.col(column) <= last)

    def collect(self, frame: pl.LazyFrame, version: int | None = None) -> pl.DataFrame:
        """Collect a frame that was made of `scan`.

        Raises:
            LakeDamageError: a file is missing or damaged; names its partition.
        """
        return self._reader.collect(frame, version)

    def read(
        self,
        version: int | None = None,
        partitions: Iterable[Partition] | None = None,
        columns: Iterable[str] | None = None,
    ) -> pl.DataFrame:
        """Like `scan`, but collected; within a partition rows have the order in which they were written."""
        frame = self.scan(version, partitions)
        return self.collect(frame if columns is None else frame.select(list(columns)), version)

    def extract(self, partitions: Iterable[Partition] | None = None) -> pl.DataFrame:
        """The table's `extract` columns at its newest version, from a copy beside it: only new files are read.

        Args:
            partitions: those to return; None: all.
        """
        rows = self._extract.rows(self._open())
        return rows if partitions is None else of_partitions(rows, partitions)

    def each(
        self, version: int | None, partitions: Iterable[Partition], columns: Iterable[str], *, verify: bool = False
    ) -> Iterator[tuple[Partition, pl.DataFrame]]:
        """One partition at a time, in the given order; `columns` must not name date and subject, the partition itself.

        Reads the files that the log lists: takes half the time of a scan, and memory for one partition.

        Args:
            version: of the table; None: the newest.
            partitions: to read.
            columns: to return.
            verify: compare the files' checksums first, which reads whole files.

        Raises:
            LakeDamageError: a file is missing or damaged; names its partition.
        """
        wanted, columns = list(partitions), list(columns)
        table = self._open(version)
        files = self._reader.files(table, wanted)
        for partition in wanted:
            if verify and table is not None:
                self._reader.require_intact(table.of_partitions([partition]))
            yield partition, self._reader.read(files.get(partition, []), columns, partition)

    def partitions(self, version: int | None = None) -> list[Partition]:
        """All partitions (date, subject), sorted; read from the log, not from the data."""
        table = self._open(version)
        return [] if table is None else table.partitions()

    def files(self, version: int | None = None) -> list[DataFile]:
        """The files that make up a version (None: the newest), by date and subject; read from the log."""
        found = self._reader.files(self._open(version))
        return [
            DataFile(*partition, str(file["path"]), file["num_records"], file["size_bytes"])
            for partition in in_order(found)
            for file in found[partition]
        ]

    def count(self) -> int:
        """Number of rows, from the statistics in the log, not from the data."""
        table = self._open()
        return 0 if table is None else int(table.files["num_records"].sum())

    def counts(self, filled: str | None = None, *, version: int | None = None) -> dict[Partition, int]:
        """Number of rows of each partition, from the statistics in the log, not from the data.

        Args:
            filled: only rows with a value in this column.
            version: of the table; None: the newest.
        """
        return {(date, subject): rows for date, subject, rows in self.counted(filled, version=version).iter_rows()}

    def counted(self, filled: str | None = None, *, version: int | None = None) -> pl.DataFrame:
        """Like `counts`, as a frame: date, subject, rows."""
        table = self._open(version)
        if table is None:
            return pl.DataFrame(schema={**PARTITION, "rows": pl.Int64})
        count = pl.col("num_records")
        if filled is not None:
            absent = filled in self._reader.absent(table.columns)
            count = pl.lit(0) if absent else count - pl.col(f"null_count.{filled}")
        return table.files.select(*PARTITION, count.alias("rows")).group_by(*PARTITION).agg(pl.col("rows").sum())

    def partitions_with_nulls(self, column: str) -> list[Partition]:
        """Partitions that may have a null in this column, sorted; read from the statistics in the log."""
        table = self._open()
        if table is None:
            return []
        nulls = f"null_count.{column}"
        if nulls not in table.files.columns:
            return table.partitions()
        found = table.files.filter(pl.col(nulls).is_null() | (pl.col(nulls) > 0))
        return in_order(found.select(*PARTITION).iter_rows())

    def partitions_within(
        self, column: str, low: Any = None, high: Any = None, *, version: int | None = None
    ) -> list[Partition]:
        """Partitions that may have a value of a column between two bounds, sorted; read from the statistics in the log.

        Args:
            column: of text, numbers, booleans or times, or the date.
            low: the least value; None: without a bound.
            high: the greatest value; None: without a bound.
            version: of the table; None: the newest.
        """
        table = self._open(version)
        return [] if table is None else in_order(table.within(column, low, high).select(*PARTITION).iter_rows())

    def file_names(self, version: int | None = None) -> pl.DataFrame:
        """Date, subject and path, as in the log, of each file; a file's content never changes."""
        table = self._open(version)
        schema = pl.Schema([*PARTITION.items(), ("path", pl.String())])
        return pl.DataFrame(schema=schema) if table is None else table.files.select(schema.names())

    def spans(
        self, column: str, partitions: Iterable[Partition] | None = None, *, version: int | None = None
    ) -> dict[Partition, tuple[int, int]]:
        """First and last time in a column of each partition, in µs since 1970; read from the log, not from the data.

        The log has milliseconds: the last time is rounded up. Partitions with a file without statistics are left out.

        Args:
            column: with times.
            partitions: to look at; None: all.
            version: of the table; None: the newest.
        """
        table = self._open(version)
        first, last = pl.col(f"min.{column}"), pl.col(f"max.{column}")
        if table is None or not {f"min.{column}", f"max.{column}"} <= set(table.files.columns):
            return {}
        files = table.files if partitions is None else table.of_partitions(partitions)
        known = (first.is_not_null() & last.is_not_null()).all()
        micros = (edge.cast(TIME).to_physical() for edge in (first.min(), last.max()))
        begin, end = (edge.alias(name) for edge, name in zip(micros, ("begin", "end"), strict=True))
        found = files.group_by(*PARTITION).agg(begin, end + 1_000, known.alias("known")).filter("known")
        return {(date, subject): (begin, end) for date, subject, begin, end, _ in found.iter_rows()}

    def newest(self, column: str) -> dt.datetime | None:
        """A time that no row is later than in a column, less than 1 ms above the last; None if there are no rows."""
        table = self._open()
        if table is None or table.files.is_empty():
            return None
        name = f"max.{column}"
        if name in table.files.columns and not table.files[name].null_count():
            last: dt.datetime = table.files.select(pl.col(name).cast(TIME).max()).item()
            return last + dt.timedelta(milliseconds=1)
        found: dt.datetime | None = self.read(columns=[column]).select(pl.col(column).max()).item()
        return found

    def written_at(self) -> dict[Partition, float]:
        """When each partition's newest file was written, in seconds since 1970; read from the log."""
        return {(date, subject): at / 1000 for date, subject, at in self.written().iter_rows()}

    def written(self) -> pl.DataFrame:
        """When each partition's newest file was written: date, subject, written_ms (since 1970); read from the log."""
        table = self._open()
        if table is None:
            return pl.DataFrame(schema={**PARTITION, "written_ms": pl.Int64})
        return table.files.group_by(*PARTITION).agg(pl.col("modification_time").max().alias("written_ms"))

    def _open(self, version: int | None = None) -> Snapshot | None:
        table = self._reader.open(version)
        if (
            table is None
            and version is None
            and self._commits is not None
            and self._commits.exists
            and not self.rebuild
        ):
            raise LakeDamageError(
                where=str(self.where / "_delta_log"),
                expected="the log of a table that was written before",
                got="none",
                remedy="Restore the folder from a backup; or begin the table anew: move the folder elsewhere, then run "
                "`har check --accept`.",
            )
        return table
