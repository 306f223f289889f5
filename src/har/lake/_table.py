"""A Delta table partitioned by (date, subject): replace whole partitions, add or update rows by key, in one commit."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import ColumnProperties, CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from filelock import FileLock, Timeout

from har.errors import LakeBusyError, LakeError, reason
from har.lake._keys import Added, hashes
from har.lake._where import Partition, either, in_order, ordered, partitions_of, ranges, sql

_LOCK_TIMEOUT_S = 60.0
_COMMIT_ATTEMPTS = 5
_SMALL_FILES = 32
"""Compact a partition once it has this many files; every append adds one."""


class Table:
    """A Delta table, partitioned by date and subject, with a fixed schema.

    A file lock, which the operating system releases when its process ends, lets one writer at a time change the table.

    Args:
        path: the table's folder.
        schema: its columns; date and subject are among them.
        added: columns that tables of older releases lack: they read as null, and the next write adds them.
        measured: whether most columns are measured values, which rarely repeat: without dictionary encoding they are
            written four times as fast, and smaller.
        retired: columns that older releases wrote: no longer read, and null in new rows.
    """

    def __init__(
        self,
        path: Path,
        schema: pl.Schema,
        *,
        added: Iterable[str] = (),
        retired: Iterable[str] = (),
        measured: bool = False,
    ) -> None:
        self.path = path
        self.name = path.name
        self.schema = schema
        self._added = frozenset(added)
        self._retired = frozenset(retired)
        self._own: Added | None = None
        plain = ColumnProperties(dictionary_enabled=False)
        # Statistics of a binary column are useless, and would copy whole values into the log.
        opaque = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
        self._properties = WriterProperties(
            compression="SNAPPY",
            default_column_properties=plain if measured else None,
            column_properties={name: opaque for name, dtype in schema.items() if dtype == pl.Binary} or None,
        )

    def version(self) -> int:
        """The newest version, -1 before the first write."""
        table = self._open()
        return -1 if table is None else table.version()

    def scan(self, version: int | None = None, partitions: Iterable[Partition] | None = None) -> pl.LazyFrame:
        """The table, or some of its partitions, lazily, at a version (None: the newest); empty before a first write."""
        table = self._open(version)
        if table is None:
            return pl.LazyFrame(schema=self.schema)
        absent = self._absent(table)
        nulls = (pl.lit(None, self.schema[name]).alias(name) for name in absent)
        frame = pl.scan_delta(table).with_columns(nulls).select(self.schema.names())
        return frame if partitions is None else frame.filter(either(partitions))

    def read(
        self,
        version: int | None = None,
        partitions: Iterable[Partition] | None = None,
        columns: Iterable[str] | None = None,
    ) -> pl.DataFrame:
        """Like `scan`, but collected; within a partition rows have the order in which they were written."""
        frame = self.scan(version, partitions)
        return (frame if columns is None else frame.select(list(columns))).collect()

    def each(
        self, version: int | None, partitions: Iterable[Partition], columns: Iterable[str]
    ) -> Iterator[tuple[Partition, pl.DataFrame]]:
        """One partition at a time, in the given order; `columns` must not name date and subject, the partition itself.

        Reads the files that the log lists: takes half the time of a scan, and memory for one partition.
        """
        wanted, columns = list(partitions), list(columns)
        table = self._open(version)
        files = {} if table is None else self._files(table)
        for partition in wanted:
            yield partition, self._read_files([file["path"] for file in files.get(partition, [])], columns)

    def partitions(self, version: int | None = None) -> list[Partition]:
        """All partitions (date, subject), sorted; read from the log, not from the data."""
        table = self._open(version)
        if table is None:
            return []
        return in_order((dt.date.fromisoformat(part["date"]), part["subject"]) for part in table.partitions())

    def count(self) -> int:
        """Number of rows, from the statistics in the log, not from the data."""
        table = self._open()
        files = {} if table is None else self._files(table)
        return sum(file["num_records"] for group in files.values() for file in group)

    def partitions_with_nulls(self, column: str) -> list[Partition]:
        """Partitions that may have a null in this column, sorted; read from the statistics in the log."""
        table = self._open()
        files = {} if table is None else self._files(table)
        nulls = f"null_count.{column}"

        def may_have(file: dict[str, Any]) -> bool:
            return file.get(nulls) is None or bool(file[nulls])

        return in_order(partition for partition, group in files.items() if any(map(may_have, group)))

    def changed_since(self, version: int) -> list[Partition]:
        """Partitions whose files differ from those at `version`, sorted; read from the log, not from the data."""
        new, old = (
            {
                partition: {file["path"] for file in files}
                for partition, files in (self._files(table) if table else {}).items()
            }
            for table in (self._open(), self._open(version))
        )
        return in_order(partition for partition in {*new, *old} if new.get(partition) != old.get(partition))

    def written_at(self) -> dict[Partition, float]:
        """When each partition's newest file was written, in seconds since 1970; read from the log."""
        table = self._open()
        files = {} if table is None else self._files(table)
        return {
            partition: max(file["modification_time"] for file in group) / 1000 for partition, group in files.items()
        }

    def replace(
        self, frame: pl.DataFrame, partitions: Iterable[Partition], *, keep: str | pl.Expr | None = None
    ) -> int:
        """Replace the content of `partitions` by `frame` in one commit; other partitions are not changed.

        Replacing is idempotent, so a run that was killed can be repeated. Partitions without rows in `frame` become
        empty.

        Args:
            frame: the new rows.
            partitions: the partitions to replace.
            keep: existing rows of these partitions with a value in this column, or for which this expression is true,
                are kept beside the new ones.

        Returns:
            The version after the commit.

        Raises:
            LakeBusyError: another writer has locked the table for a minute.
            LakeError: the disk refuses.
        """
        wanted = in_order(partitions)
        frame = self._whole(frame)
        outside = frame.filter(~either(wanted))
        if len(outside):
            raise ValueError(f"rows of {outside.row(0)[:2]}, which is not among the partitions to replace")

        def write(table: DeltaTable | None) -> None:
            # Read again at every attempt: a write between this and the commit makes the commit fail.
            rows = frame
            if table is not None and keep is not None:
                rows = pl.concat([self._rows_to_keep(table, wanted, keep), frame])
            predicate = None if table is None else sql(wanted)
            self._write(table, rows, mode="overwrite", predicate=predicate, partitions=len(wanted))

        with self.lock():
            return self._commit(write)

    def add(self, frame: pl.DataFrame, key: Sequence[str]) -> int:
        """Append the rows whose key is not in their partition yet, in one commit; adding the same rows again adds none.

        Args:
            frame: the rows; of several with the same key the first is added.
            key: columns without nulls that identify a row within its partition.

        Returns:
            Number of new rows.

        Raises:
            LakeBusyError: another writer has locked the table for a minute.
            LakeError: the disk refuses.
        """
        names = ["date", "subject", *key]
        frame = self._whole(frame)
        with self.lock():
            keys = frame.select(names).with_row_index("row").unique(names, keep="first", maintain_order=True)
            added = self._since(tuple(names))
            marks = hashes(keys.select(names))
            rows = self._not_at(added.base, keys, key)
            again = keys.filter(pl.Series(added.keys.may_hold(marks), dtype=pl.Boolean))
            if len(again):  # rows that come twice, or a hash that two keys share
                seen = again.join(self._not_at(None, again, key), on="row", how="anti")
                rows = rows.join(seen, on="row", how="anti", maintain_order="left")
            chosen = rows["row"]
            new = frame if len(chosen) == len(frame) else frame[chosen]
            if len(new):
                parts = new["date"].n_unique()
                version = self._commit(lambda table: self._write(table, new, mode="append", partitions=parts))
                added.keys.add(hashes(rows.select(names)))
                if version == added.version + 1:
                    added.version = version  # else another host wrote, too, and the next addition looks everything up
            return len(new)

    def _since(self, names: tuple[str, ...]) -> Added:
        """What this process added, if nobody else has written since; else nothing, from the newest version on."""
        version = self.version()
        if self._own is None or self._own.version != version or self._own.names != names:
            self._own = Added(names, version, version)
        return self._own

    def _not_at(self, version: int | None, keys: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
        """The rows of `keys` that the table does not hold at a version."""
        names = ["date", "subject", *key]
        known = self.scan(version, partitions_of(keys)).filter(ranges(keys, key)).select(names).collect()
        return keys.join(known, on=names, how="anti", maintain_order="left")

    def amend(self, frame: pl.DataFrame, key: Sequence[str]) -> int:
        """Update rows by key in one commit: set the other columns of `frame`.

        Args:
            frame: date, subject, the columns of the key, and the columns to set.
            key: columns without nulls that identify a row within its partition.

        Returns:
            Number of rows updated.

        Raises:
            LakeBusyError: another writer has locked the table for a minute.
            LakeError: the disk refuses.
        """
        if frame.is_empty():
            return 0
        frame = frame.cast({name: self.schema[name] for name in frame.columns})
        names = ["date", "subject", *key]
        # Without the constants the engine would read the whole table; with them it skips files.
        terms = [f"t.{name} = s.{name}" for name in names]
        terms += [f"({sql(partitions_of(frame), 't.')})"]
        for name in ordered(frame, key):
            low, high = (getattr(frame[name], edge)().isoformat() for edge in ("min", "max"))
            terms.append(f"t.{name} >= '{low}' AND t.{name} <= '{high}'")
        changed = 0

        def write(table: DeltaTable | None) -> None:
            nonlocal changed
            if table is None:
                return
            merge = table.merge(
                frame,
                predicate=" AND ".join(terms),
                source_alias="s",
                target_alias="t",
                writer_properties=self._properties,
            )
            updates = {name: f"s.{name}" for name in frame.columns if name not in names}
            changed = int(merge.when_matched_update(updates).execute()["num_target_rows_updated"])

        with self.lock():
            self._commit(write, keeps_keys=True)
        return changed

    def compact(self, partitions: Iterable[Partition]) -> int:
        """Merge the files of those partitions that have many; the rows do not change. Returns how many were merged."""
        with self.lock():
            table = self._open()
            files = {} if table is None else self._files(table)
            many = [one for one in in_order(partitions) if len(files.get(one, [])) >= _SMALL_FILES]
            for date, subject in many:
                chosen = [("date", "=", date.isoformat()), ("subject", "=", subject)]
                self._commit(partial(_merge_files, chosen=chosen, properties=self._properties), keeps_keys=True)
        return len(many)

    def vacuum(self) -> int:
        """Remove files that only versions older than a week need; returns how many."""
        with self.lock():
            table = self._open()
            try:
                return 0 if table is None else len(table.vacuum(dry_run=False))
            except (OSError, DeltaError) as error:
                raise LakeError.refused(self.path, error) from error

    def lock(self) -> AbstractContextManager[None]:
        """The lock of writers, re-entrant within a thread; hold it to read and replace as one step."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError.refused(self.path, error) from error
        return _TableLock(self)

    def _whole(self, frame: pl.DataFrame) -> pl.DataFrame:
        """All columns of the schema, in their order; a row without date or subject would spoil the whole table."""
        frame = frame.cast(self.schema).select(self.schema.names())
        nowhere = frame.filter(pl.col("date").is_null() | (pl.col("subject").fill_null("") == ""))
        if len(nowhere):
            raise LakeError(
                where=str(self.path),
                expected="rows with a date and a subject",
                got=f"{len(nowhere)} without, of {len(frame)}; the first: {nowhere.head(1).to_dicts()[0]}",
                remedy="Nothing was written. Find out where these rows come from.",
            )
        return frame

    def _commit(self, write: Callable[[DeltaTable | None], object], *, keeps_keys: bool = False) -> int:
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                table = self._open()
                before = -1 if table is None else table.version()
                write(table)
                after = 0 if table is None else table.version()
                if keeps_keys and self._own is not None and self._own.version == before and after <= before + 1:
                    self._own.version = after
                return after
            except CommitFailedError:  # by a writer on another host, which the file lock does not stop
                if attempt == _COMMIT_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
            except LakeError:
                raise
            except (OSError, DeltaError) as error:
                raise LakeError.refused(self.path, error) from error
        raise AssertionError("unreachable")

    def _write(self, table: DeltaTable | None, frame: pl.DataFrame, *, partitions: int, **how: Any) -> None:
        write_deltalake(
            str(self.path) if table is None else table,
            frame,
            **how,
            schema_mode="merge" if table is not None and self._differs(table) else None,
            partition_by=["date", "subject"],
            writer_properties=self._properties,
            commit_properties=CommitProperties(custom_metadata={"har.partitions": str(partitions)}),
        )

    def _differs(self, table: DeltaTable) -> bool:
        """Whether the stored table lacks columns or still has retired ones."""
        return bool(self._absent(table)) or any(field.name in self._retired for field in table.schema().fields)

    def _absent(self, table: DeltaTable) -> list[str]:
        """The columns that the table lacks, all of them in `added`."""
        present = {field.name for field in table.schema().fields}
        absent = [name for name in self.schema if name not in present]
        unexpected = [name for name in absent if name not in self._added]
        if unexpected:
            raise LakeError(
                where=str(self.path),
                expected=f"a table with the column {unexpected[0]!r}",
                got=f"the columns {', '.join(sorted(present))}",
                remedy="It was written with other settings: restore them, or set paths.lake to another folder.",
            )
        return absent

    def _files(self, table: DeltaTable) -> dict[Partition, list[dict[str, Any]]]:
        """The log's entries for the files of each partition: path, modification_time, num_records, null_count.…"""
        files: dict[Partition, list[dict[str, Any]]] = {}
        for file in pl.DataFrame(table.get_add_actions(flatten=True)).iter_rows(named=True):
            if file.get("deletionVector.storageType") is not None:
                raise LakeError(
                    where=str(self.path),
                    expected="a table without deletion vectors",
                    got=f"one on {file['path']}",
                    remedy="Another engine deleted rows in place: rewrite the table with it (Spark: REORG TABLE).",
                )
            file["path"] = str(self.path / unquote(file["path"]))
            files.setdefault((file["partition.date"], file["partition.subject"]), []).append(file)
        return files

    def _read_files(self, paths: list[str], columns: list[str]) -> pl.DataFrame:
        schema = pl.Schema({name: self.schema[name] for name in columns})
        if not paths:
            return pl.DataFrame(schema=schema)
        if self._added.isdisjoint(columns):
            return pl.read_parquet(paths, columns=columns, hive_partitioning=False).cast(schema)
        return (
            pl.scan_parquet(
                paths, schema=schema, missing_columns="insert", extra_columns="ignore", hive_partitioning=False
            )
            .select(columns)
            .collect()
        )

    def _rows_to_keep(self, table: DeltaTable, partitions: Iterable[Partition], keep: str | pl.Expr) -> pl.DataFrame:
        """The rows that `replace` keeps; files that have none of them according to the log are not read."""
        nulls = f"null_count.{keep}" if isinstance(keep, str) else ""
        condition = pl.col(keep).is_not_null() if isinstance(keep, str) else keep
        files = self._files(table)
        columns = [name for name in self.schema if name not in ("date", "subject")]
        parts = [pl.DataFrame(schema=self.schema)]
        for date, subject in partitions:
            paths = [
                file["path"]
                for file in files.get((date, subject), [])
                if file.get(nulls) is None or file[nulls] < file["num_records"]
            ]
            if paths:
                rows = self._read_files(paths, columns).filter(condition)
                partition = (pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"))
                parts.append(rows.with_columns(partition).select(self.schema.names()))
        return pl.concat(parts)

    def _open(self, version: int | None = None) -> DeltaTable | None:
        if version == -1:
            return None
        try:
            return DeltaTable(str(self.path), version=version)
        except TableNotFoundError:
            if version is None:
                return None
            raise
        except (OSError, DeltaError) as error:
            raise LakeError(
                where=str(self.path),
                expected=f"version {version} of the table" if version is not None else "a readable Delta table",
                got=reason(error),
                remedy="`har status` lists the versions; check the permissions of the folder.",
            ) from error


class _TableLock:
    """The lock as a context manager that raises `LakeError`."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lock = FileLock(table.path.parent / f".{table.name}.lock", timeout=_LOCK_TIMEOUT_S, is_singleton=True)

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise LakeBusyError(
                where=str(self._table.path),
                expected="no other writer",
                got=f"one that has locked the table for {_LOCK_TIMEOUT_S:g} s",
                remedy="Wait for the other run to finish, or stop it, then run the same command again.",
            ) from error
        except OSError as error:
            raise LakeError.refused(self._table.path, error) from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _merge_files(table: DeltaTable | None, chosen: list[tuple[str, str, str]], properties: WriterProperties) -> None:
    if table is not None:
        table.optimize.compact(chosen, writer_properties=properties)
