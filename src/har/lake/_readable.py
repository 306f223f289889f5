"""What can be read of a table: rows, partitions and counts, now or at an earlier version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from har.errors import LakeDamageError
from har.lake._commits import Commits
from har.lake._reader import File, Reader
from har.lake._where import in_order
from har.schema import Partition

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


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

    def __init__(self, path: Path, schema: pl.Schema, *, added: Iterable[str], rebuild: str) -> None:
        self.path = path
        self.name = path.name
        self.schema = schema
        self.rebuild = rebuild
        self._reader = Reader(path, schema, frozenset(added), rebuild)
        self._commits = Commits(path)

    def version(self) -> int:
        """The newest version, -1 before the first write."""
        table = self._open()
        return -1 if table is None else table.version()

    def scan(self, version: int | None = None, partitions: Iterable[Partition] | None = None) -> pl.LazyFrame:
        """The table, or some of its partitions, lazily, at a version (None: the newest); empty before a first write.

        Collect it with `collect`, which explains damage.
        """
        table = self._open(version)
        return pl.LazyFrame(schema=self.schema) if table is None else self._reader.scan(table, partitions)

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
        files = self._reader.files(self._open(version))
        for partition in wanted:
            if verify:
                self._reader.require_intact({partition: files.get(partition, [])})
            yield partition, self._reader.read(files.get(partition, []), columns, partition)

    def partitions(self, version: int | None = None) -> list[Partition]:
        """All partitions (date, subject), sorted; read from the log, not from the data."""
        table = self._open(version)
        if table is None:
            return []
        return in_order((dt.date.fromisoformat(part["date"]), part["subject"]) for part in table.partitions())

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
        return sum(self.counts().values())

    def counts(self, filled: str | None = None, *, version: int | None = None) -> dict[Partition, int]:
        """Number of rows of each partition, from the statistics in the log, not from the data.

        Args:
            filled: only rows with a value in this column.
            version: of the table; None: the newest.
        """
        table = self._open(version)
        if filled is not None and (table is None or filled in self._reader.absent(table)):
            return dict.fromkeys(self._reader.files(table), 0)
        empty = f"null_count.{filled}"
        return {
            partition: sum(file["num_records"] - (file[empty] if filled else 0) for file in group)
            for partition, group in self._reader.files(table).items()
        }

    def partitions_with_nulls(self, column: str) -> list[Partition]:
        """Partitions that may have a null in this column, sorted; read from the statistics in the log."""
        files = self._reader.files(self._open())
        nulls = f"null_count.{column}"

        def may_have(file: File) -> bool:
            return file.get(nulls) is None or bool(file[nulls])

        return in_order(partition for partition, group in files.items() if any(map(may_have, group)))

    def spans(self, column: str) -> dict[Partition, tuple[int, int]]:
        """First and last time in a column of each partition, in µs since 1970; read from the log, not from the data.

        The log has milliseconds: the last time is rounded up. Partitions with a file without statistics are left out.
        """
        found: dict[Partition, tuple[int, int]] = {}
        for partition, files in self._reader.files(self._open()).items():
            first = [file[f"min.{column}"] for file in files if file.get(f"min.{column}") is not None]
            last = [file[f"max.{column}"] for file in files if file.get(f"max.{column}") is not None]
            if len(first) == len(last) == len(files):
                begin, end = ((edge - _EPOCH) // _MICROSECOND for edge in (min(first), max(last)))
                found[partition] = (begin, end + 1_000)
        return found

    def changed_since(self, version: int) -> list[Partition]:
        """Partitions whose files differ from those at `version`, sorted; read from the log, not from the data."""
        new, old = (
            {partition: {file["path"] for file in files} for partition, files in self._reader.files(table).items()}
            for table in (self._open(), self._open(version))
        )
        return in_order(partition for partition in {*new, *old} if new.get(partition) != old.get(partition))

    def written_at(self) -> dict[Partition, float]:
        """When each partition's newest file was written, in seconds since 1970; read from the log."""
        files = self._reader.files(self._open())
        return {
            partition: max(file["modification_time"] for file in group) / 1000 for partition, group in files.items()
        }

    def _open(self, version: int | None = None) -> DeltaTable | None:
        table = self._reader.open(version)
        if table is None and version is None and self._commits.exists and not self.rebuild:
            raise LakeDamageError(
                where=str(self.path / "_delta_log"),
                expected="the log of a table that was written before",
                got="none",
                remedy="Restore the folder from a backup; or begin the table anew: move the folder elsewhere, then run "
                "`har check --accept`.",
            )
        return table
