"""One Delta table whose partitions (date, subject) are replaced as a whole, in one commit."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from filelock import FileLock, Timeout

from har.errors import LakeBusyError, LakeError

Partition = tuple[dt.date, str]
"""A date and a subject."""

_LOCK_TIMEOUT_S = 60.0
_COMMIT_ATTEMPTS = 5


class Table:
    """A Delta table, partitioned by date and subject, with a fixed schema.

    Writers of one table take turns through a lock file that dies with its process, so a killed run blocks nobody.
    """

    def __init__(self, path: Path, schema: pl.Schema) -> None:
        self.path = path
        self.name = path.name
        self.schema = schema

    def version(self) -> int:
        """The newest version, -1 if nothing was written yet."""
        table = self._open()
        return -1 if table is None else table.version()

    def scan(self, version: int | None = None, partitions: Iterable[Partition] | None = None) -> pl.LazyFrame:
        """The table, or some partitions of it, at a version (None: the newest), lazily; empty before a write."""
        table = self._open(version)
        if table is None:
            return pl.LazyFrame(schema=self.schema)
        frame = pl.scan_delta(table).select(self.schema.names())
        return frame if partitions is None else frame.filter(_either(partitions))

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
        files: dict[Partition, list[str]] = {}
        for file in [] if table is None else pl.DataFrame(table.get_add_actions(flatten=True)).iter_rows(named=True):
            if file.get("deletionVector.storageType") is not None:
                raise LakeError(
                    where=str(self.path),
                    expected="a table without deletion vectors",
                    got=f"one on {file['path']}",
                    remedy="Another engine deleted rows in place: rewrite the table there (Spark: REORG TABLE).",
                )
            path = str(self.path / unquote(file["path"]))
            files.setdefault((file["partition.date"], file["partition.subject"]), []).append(path)
        schema = pl.Schema({name: self.schema[name] for name in columns})
        for partition in wanted:
            paths = files.get(partition, [])
            yield (
                partition,
                pl.read_parquet(paths, columns=columns, hive_partitioning=False).cast(schema)
                if paths
                else pl.DataFrame(schema=schema),
            )

    def partitions(self, version: int | None = None) -> list[Partition]:
        """Every (date, subject) the table holds, sorted; read from the log, not from the data."""
        table = self._open(version)
        if table is None:
            return []
        return sorted((dt.date.fromisoformat(part["date"]), part["subject"]) for part in table.partitions())

    def replace(self, frame: pl.DataFrame, partitions: Iterable[Partition]) -> int:
        """Make `frame` the whole content of `partitions`, in one commit; other partitions stay as they are.

        Replacing a partition by what it holds already gives the same table again, so a run that was killed can be
        repeated. Partitions without rows in `frame` become empty.

        Returns:
            The version that the commit made.

        Raises:
            LakeBusyError: another writer holds the table for a minute.
            LakeError: the disk refuses.
        """
        wanted = sorted(set(partitions))
        frame = frame.cast(self.schema).select(self.schema.names())
        stray = frame.filter(~_either(wanted))
        if len(stray):
            raise ValueError(f"rows of {stray.row(0)[:2]} are not of the partitions to be replaced")
        with self.lock():
            return self._commit(frame, wanted)

    def lock(self) -> AbstractContextManager[None]:
        """The writers' lock, re-entrant within a thread; hold it to read, decide and replace as one step."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error
        return _TableLock(self)

    def _commit(self, frame: pl.DataFrame, partitions: list[Partition]) -> int:
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                table = self._open()
                write_deltalake(
                    str(self.path) if table is None else table,
                    frame,
                    mode="overwrite",
                    predicate=None if table is None else _sql(partitions),
                    partition_by=["date", "subject"],
                    commit_properties=CommitProperties(custom_metadata={"har.partitions": str(len(partitions))}),
                )
                return 0 if table is None else table.version()
            except CommitFailedError:  # a writer on another host, which the lock file does not reach
                if attempt == _COMMIT_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
            except (OSError, DeltaError) as error:
                raise self._refused(error) from error
        raise AssertionError("unreachable")

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


def _either(partitions: Iterable[Partition]) -> pl.Expr:
    by_date = _by_date(partitions)
    if not by_date:
        return pl.lit(False)
    return pl.any_horizontal(
        *((pl.col("date") == date) & pl.col("subject").is_in(subjects) for date, subjects in by_date.items())
    )


def _sql(partitions: Iterable[Partition]) -> str:
    terms = []
    for date, subjects in _by_date(partitions).items():
        names = ", ".join("'" + subject.replace("'", "''") + "'" for subject in subjects)
        terms.append(f"(date = '{date.isoformat()}' AND subject IN ({names}))")
    return " OR ".join(terms)


def _by_date(partitions: Iterable[Partition]) -> dict[dt.date, list[str]]:
    grouped: dict[dt.date, list[str]] = {}
    for date, subject in sorted(set(partitions)):
        grouped.setdefault(date, []).append(subject)
    return grouped
