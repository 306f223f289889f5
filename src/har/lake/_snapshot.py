"""A table's files at one version, and the newest version kept open: what was read of a log is not read again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from har.schema import Partition
from har.storage import Location

PARTITION = pl.Schema({"date": pl.Date, "subject": pl.String})
_Stamp = tuple[object, ...]
_CREDENTIALS_S = 300.0
"""A table on object storage is opened anew after this time if its credentials are temporary ones."""


@dataclass(frozen=True)
class Snapshot:
    """What the log says of one version; it does not change while others write.

    Attributes:
        version: of the table.
        columns: names of the stored columns.
        files: a row per file, in the order of the log: date, subject, path (as in the log), size_bytes,
            modification_time (ms since 1970), num_records, null_count.…, min.…, max.….
        protocol: least version of a reader, and the features that it must have.
        deleted: a file of which single rows are marked as deleted; "": none.
    """

    version: int
    columns: frozenset[str]
    files: pl.DataFrame
    protocol: tuple[int, frozenset[str]]
    deleted: str = ""

    @classmethod
    def of(cls, table: DeltaTable) -> Snapshot:
        """Read an open table's list of files; the log itself is not read again."""
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        places = {f"partition.{name}": name for name in PARTITION}
        if places.keys() <= set(files.columns):
            files = files.rename(places).cast(PARTITION)
        else:  # another program's table without partitions
            files = files.with_columns(*(pl.lit(None, dtype).alias(name) for name, dtype in PARTITION.items()))
        marked = "deletionVector.storageType"
        deleted = files.filter(pl.col(marked).is_not_null())["path"].to_list() if marked in files.columns else []
        protocol = table.protocol()
        return cls(
            table.version(),
            columns_of(table),
            files,
            (protocol.min_reader_version, frozenset(protocol.reader_features or ())),
            deleted[0] if deleted else "",
        )

    def of_partitions(self, partitions: Iterable[Partition]) -> pl.DataFrame:
        """The rows of `files` of these partitions."""
        return of_partitions(self.files, partitions)

    def within(self, column: str, low: Any, high: Any) -> pl.DataFrame:
        """The rows of `files` that may have a value of a column between two bounds; None: without a bound.

        The log has milliseconds, rounded down.
        """
        first, last = (column, column) if column in PARTITION else (f"min.{column}", f"max.{column}")
        if not {first, last} <= set(self.files.columns):
            return self.files
        rounded = pl.duration(milliseconds=1) if isinstance(self.files.schema[last], pl.Datetime) else None
        largest = pl.col(last) if rounded is None else pl.col(last) + rounded
        where = pl.lit(True)
        if high is not None:
            where &= pl.col(first).is_null() | (pl.col(first) <= high)
        if low is not None:
            where &= pl.col(last).is_null() | (largest >= low)
        return self.files.filter(where)

    def partitions(self) -> list[Partition]:
        """Those that have files, by date and subject."""
        return self.files.select(*PARTITION).unique().sort(*PARTITION).rows()


class Newest:
    """The newest version of a table, kept open by one process; safe to share between threads.

    Whether others have written since is asked of the folder each time, so nobody reads what was before their commit;
    of object storage with one request.

    Args:
        where: the table.
        open_newest: opens the table; None before its first write.
    """

    def __init__(self, where: Location, open_newest: Callable[[], DeltaTable | None]) -> None:
        self._where = where
        self._open = open_newest
        self._lock = threading.Lock()
        self._table: DeltaTable | None = None
        self._snapshot: Snapshot | None = None
        self._stamp: _Stamp = ()
        self._opened_s = 0.0

    def snapshot(self) -> Snapshot | None:
        """What the newest version holds; None before the first write."""
        with self._lock:
            known = self._snapshot
            if known is not None and self._stamp and (self._stamp, True) == self._look(known.version):
                return known
            self._refresh()
            return self._snapshot

    @contextmanager
    def writing(self) -> Iterator[DeltaTable | None]:
        """The open table of the newest version, for one writer alone, who leaves it at the version that it wrote."""
        self.snapshot()
        with self._lock:
            table, self._table = self._table, None
        if table is None:
            table = self._open()
        yield table
        if table is not None:  # a writer that fails leaves its table in an unknown state
            with self._lock:
                self._keep(table)

    def _look(self, version: int) -> tuple[_Stamp, bool]:
        """What changes if the commit, or the checkpoint that the log is read from, does; and whether it is the newest.

        The first is empty without the commit.
        """
        own, following, hint = f"{version:020}.json", f"{version + 1:020}.json", "_last_checkpoint"
        if self._where.is_local:
            log = self._where.local / "_delta_log"
            commit, is_newest = identity(log / own), not (log / following).exists()
            return ((commit, identity(log / hint)) if commit else ()), is_newest
        listed = {one.name: one for one in (self._where / "_delta_log").list(after=f"{version:020}")}
        return ((listed[own], listed.get(hint)) if own in listed else ()), following not in listed

    def _refresh(self) -> None:
        known, table = self._snapshot, self._table
        self._snapshot = self._table = None
        unchanged = known is not None and bool(self._stamp) and self._stamp == self._look(known.version)[0]
        if table is not None and unchanged and self._has_credentials():
            table.update_incremental()  # others have only added commits
        else:
            table = self._open()
            self._opened_s = time.monotonic()
        if table is not None:
            self._keep(table)

    def _has_credentials(self) -> bool:
        return self._where.lasting or time.monotonic() - self._opened_s < _CREDENTIALS_S

    def _keep(self, table: DeltaTable) -> None:
        self._stamp = self._look(table.version())[0]
        self._snapshot, self._table = Snapshot.of(table), table


def columns_of(table: DeltaTable) -> frozenset[str]:
    """The names of an open table's columns; its list of files is not read."""
    return frozenset(field.name for field in table.schema().fields)


def of_partitions(rows: pl.DataFrame, partitions: Iterable[Partition]) -> pl.DataFrame:
    """The rows of these partitions, in their order."""
    wanted = pl.DataFrame(list(partitions), PARTITION, orient="row")
    return rows.join(wanted, on=list(PARTITION), how="semi", nulls_equal=True, maintain_order="left")


def identity(path: Path) -> _Stamp:
    """What changes with a file's content: its inode, size and time; empty if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
