"""One Delta table by (date, subject): partitions are replaced as a whole, or rows added by key, in one commit."""

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

from har.errors import LakeBusyError, LakeError
from har.lake._where import Partition, either, ordered, partitions_of, ranges, sql

_LOCK_TIMEOUT_S = 60.0
_COMMIT_ATTEMPTS = 5
_SMALL_FILES = 32
"""So many files of one partition are worth to be merged; each addition makes one."""


class Table:
    """A Delta table, partitioned by date and subject, with a fixed schema.

    Writers of one table take turns through a lock file that dies with its process, so a killed run blocks nobody.

    Args:
        path: the table's folder.
        schema: its columns; date and subject are among them.
        added: columns that tables written by older releases lack: read as null, and there after the next write.
        retired: columns that older releases wrote: not read any more, and null in new rows.
        measured: most of it are measured values, which hardly repeat: a fourth of the time to write without a
            dictionary, and smaller.
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
        plain = ColumnProperties(dictionary_enabled=False)
        # Least and greatest of a column of bytes say nothing, and are copies of whole values.
        mute = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
        self._properties = WriterProperties(
            compression="SNAPPY",
            default_column_properties=plain if measured else None,
            column_properties={name: mute for name, dtype in schema.items() if dtype == pl.Binary} or None,
        )

    def version(self) -> int:
        """The newest version, -1 if nothing was written yet."""
        table = self._open()
        return -1 if table is None else table.version()

    def scan(self, version: int | None = None, partitions: Iterable[Partition] | None = None) -> pl.LazyFrame:
        """The table, or some partitions of it, at a version (None: the newest), lazily; empty before a write."""
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
        """Like `scan`, in memory; rows come in the order they were written within a partition."""
        frame = self.scan(version, partitions)
        return (frame if columns is None else frame.select(list(columns))).collect()

    def each(
        self, version: int | None, partitions: Iterable[Partition], columns: Iterable[str]
    ) -> Iterator[tuple[Partition, pl.DataFrame]]:
        """One partition after the other, in the given order; `columns` without date and subject, which are its name.

        Files are read straight from the log's list of them: half the time of a scan, and memory for one partition.
        """
        wanted, columns = list(partitions), list(columns)
        table = self._open(version)
        files = {} if table is None else self._files(table)
        for partition in wanted:
            yield partition, self._read_files([file["path"] for file in files.get(partition, [])], columns)

    def partitions(self, version: int | None = None) -> list[Partition]:
        """Every (date, subject) the table holds, sorted; read from the log, not from the data."""
        table = self._open(version)
        if table is None:
            return []
        return sorted((dt.date.fromisoformat(part["date"]), part["subject"]) for part in table.partitions())

    def changed_since(self, version: int) -> list[Partition]:
        """Partitions whose files are other ones than at that version, sorted; read from the log, not from the data."""
        now, then = (self._files(table) if table else {} for table in (self._open(), self._open(version)))
        paths = [{where: {file["path"] for file in group} for where, group in files.items()} for files in (now, then)]
        return sorted(where for where in {*now, *then} if paths[0].get(where) != paths[1].get(where))

    def written_at(self) -> dict[Partition, float]:
        """When each partition's newest file was written, in seconds since 1970; read from the log."""
        table = self._open()
        files = {} if table is None else self._files(table)
        return {where: max(file["modification_time"] for file in group) / 1000 for where, group in files.items()}

    def replace(
        self, frame: pl.DataFrame, partitions: Iterable[Partition], *, keep: str | pl.Expr | None = None
    ) -> int:
        """Make `frame` the whole content of `partitions`, in one commit; other partitions stay as they are.

        Replacing a partition by what it holds already gives the same table again, so a run that was killed can be
        repeated. Partitions without rows in `frame` become empty.

        Args:
            frame: the new rows.
            partitions: which they replace.
            keep: rows of these partitions that have a value in this column, or for which this holds, stay beside the
                new ones.

        Returns:
            The version that the commit made.

        Raises:
            LakeBusyError: another writer holds the table for a minute.
            LakeError: the disk refuses.
        """
        wanted = sorted(set(partitions))
        frame = frame.cast(self.schema).select(self.schema.names())
        stray = frame.filter(~either(wanted))
        if len(stray):
            raise ValueError(f"rows of {stray.row(0)[:2]} are not of the partitions to be replaced")

        def write(table: DeltaTable | None) -> None:
            # Read anew at every attempt: the attempt fails if someone writes between this and the commit.
            rows = frame if table is None or keep is None else pl.concat([self._kept(table, wanted, keep), frame])
            predicate = None if table is None else sql(wanted)
            self._write(table, rows, mode="overwrite", predicate=predicate, partitions=len(wanted))

        with self.lock():
            return self._commit(write)

    def add(self, frame: pl.DataFrame, key: Sequence[str]) -> int:
        """Append the rows whose key their partition does not hold yet, in one commit; adding twice is adding once.

        Args:
            frame: the rows; of several with one key the first counts.
            key: columns without nulls that name a row within its partition.

        Returns:
            How many rows were new.

        Raises:
            LakeBusyError: another writer holds the table for a minute.
            LakeError: the disk refuses.
        """
        names = ["date", "subject", *key]
        frame = frame.cast(self.schema).select(self.schema.names())
        with self.lock():
            keys = frame.select(names).with_row_index("row").unique(names, keep="first", maintain_order=True)
            known = self.scan(partitions=partitions_of(keys)).filter(ranges(keys, key)).select(names).collect()
            rows = keys.join(known, on=names, how="anti", maintain_order="left")["row"]
            new = frame if len(rows) == len(frame) else frame[rows]
            if len(new):
                parts = new["date"].n_unique()
                self._commit(lambda table: self._write(table, new, mode="append", partitions=parts))
            return len(new)

    def amend(self, frame: pl.DataFrame, key: Sequence[str]) -> int:
        """Set the other columns of `frame` on the rows that have its keys, in one commit.

        Args:
            frame: date, subject, the key's columns, and those to set.
            key: columns without nulls that name a row within its partition.

        Returns:
            How many rows changed.

        Raises:
            LakeBusyError: another writer holds the table for a minute.
            LakeError: the disk refuses.
        """
        if frame.is_empty():
            return 0
        frame = frame.cast({name: self.schema[name] for name in frame.columns})
        names = ["date", "subject", *key]
        # The matches alone would make the engine look at the whole table; the constants let it pass over files.
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
            self._commit(write)
        return changed

    def compact(self, partitions: Iterable[Partition]) -> int:
        """Merge the small files of those partitions that have many; the rows stay the same. Says how many had."""
        with self.lock():
            table = self._open()
            files = {} if table is None else self._files(table)
            many = [where for where in sorted(set(partitions)) if len(files.get(where, [])) >= _SMALL_FILES]
            for date, subject in many:
                chosen = [("date", "=", date.isoformat()), ("subject", "=", subject)]
                self._commit(partial(_merge_files, chosen=chosen, properties=self._properties))
        return len(many)

    def vacuum(self) -> int:
        """Remove files that only versions of more than a week ago need; says how many."""
        with self.lock():
            table = self._open()
            try:
                return 0 if table is None else len(table.vacuum(dry_run=False))
            except (OSError, DeltaError) as error:
                raise self._refused(error) from error

    def lock(self) -> AbstractContextManager[None]:
        """The writers' lock, re-entrant within a thread; hold it to read, decide and replace as one step."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error
        return _TableLock(self)

    def _commit(self, write: Callable[[DeltaTable | None], object]) -> int:
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                table = self._open()
                write(table)
                return 0 if table is None else table.version()
            except CommitFailedError:  # a writer on another host, which the lock file does not reach
                if attempt == _COMMIT_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
            except LakeError:
                raise
            except (OSError, DeltaError) as error:
                raise self._refused(error) from error
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
        """Columns that the table does not have yet."""
        present = {field.name for field in table.schema().fields}
        absent = [name for name in self.schema if name not in present]
        foreign = [name for name in absent if name not in self._added]
        if foreign:
            raise LakeError(
                where=str(self.path),
                expected=f"a table with the column {foreign[0]!r}",
                got=f"one with {', '.join(sorted(present))}",
                remedy="It was written under other settings: restore those, or name another folder in paths.lake.",
            )
        return absent

    def _files(self, table: DeltaTable) -> dict[Partition, list[dict[str, Any]]]:
        """What the log says about each partition's files: path, modification_time, num_records, null_count.…"""
        files: dict[Partition, list[dict[str, Any]]] = {}
        for file in pl.DataFrame(table.get_add_actions(flatten=True)).iter_rows(named=True):
            if file.get("deletionVector.storageType") is not None:
                raise LakeError(
                    where=str(self.path),
                    expected="a table without deletion vectors",
                    got=f"one on {file['path']}",
                    remedy="Another engine deleted rows in place: rewrite the table there (Spark: REORG TABLE).",
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

    def _kept(self, table: DeltaTable, partitions: Iterable[Partition], keep: str | pl.Expr) -> pl.DataFrame:
        """The partitions' rows that are to stay; files that the log knows to have none of them stay closed."""
        empty = f"null_count.{keep}" if isinstance(keep, str) else ""
        stays = pl.col(keep).is_not_null() if isinstance(keep, str) else keep
        files = self._files(table)
        columns = [name for name in self.schema if name not in ("date", "subject")]
        parts = [pl.DataFrame(schema=self.schema)]
        for date, subject in partitions:
            paths = [
                file["path"]
                for file in files.get((date, subject), [])
                if file.get(empty) is None or file[empty] < file["num_records"]
            ]
            if paths:
                rows = self._read_files(paths, columns).filter(stays)
                where = (pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"))
                parts.append(rows.with_columns(where).select(self.schema.names()))
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
                got=str(error).splitlines()[0],
                remedy="See `har status` for the versions there are; check the folder's permissions.",
            ) from error

    def _refused(self, error: Exception) -> LakeError:
        return LakeError(
            where=str(self.path),
            expected="a folder that can be written",
            got=str(error).splitlines()[0],
            remedy="Free space or grant write access, then run the same command again: nothing was half written.",
        )


class _TableLock:
    """The lock as a context manager that speaks in our errors."""

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
                got=f"one that held the table for {_LOCK_TIMEOUT_S:g} s",
                remedy="Wait for the other run, or stop it, then run the same command again.",
            ) from error
        except OSError as error:
            raise self._table._refused(error) from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _merge_files(table: DeltaTable | None, chosen: list[tuple[str, str, str]], properties: WriterProperties) -> None:
    if table is not None:
        table.optimize.compact(chosen, writer_properties=properties)
