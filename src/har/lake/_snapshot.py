"""A table's files at one version, and the newest version kept open: what was read of a log is not read again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from har.schema import Partition

PARTITION = pl.Schema({"date": pl.Date, "subject": pl.String})
_Stamp = tuple[object, ...]


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
            frozenset(field.name for field in table.schema().fields),
            files,
            (protocol.min_reader_version, frozenset(protocol.reader_features or ())),
            deleted[0] if deleted else "",
        )

    def of_partitions(self, partitions: Iterable[Partition]) -> pl.DataFrame:
        """The rows of `files` of these partitions."""
        wanted = pl.DataFrame(list(partitions), PARTITION, orient="row")
        return self.files.join(wanted, on=list(PARTITION), how="semi", nulls_equal=True, maintain_order="left")

    def within(self, column: str, low: Any, high: Any) -> pl.DataFrame:
        """The rows of `files` that may have a value of a column between two bounds; None: without a bound.

        The log has milliseconds, rounded down.
        """
        first, last = f"min.{column}", f"max.{column}"
        if not {first, last} <= set(self.files.columns):
            return self.files
        where = pl.lit(True)
        if high is not None:
            where &= pl.col(first).is_null() | (pl.col(first) <= high)
        if low is not None:
            where &= pl.col(last).is_null() | (pl.col(last) + pl.duration(milliseconds=1) >= low)
        return self.files.filter(where)

    def partitions(self) -> list[Partition]:
        """Those that have files, by date and subject."""
        return self.files.select(*PARTITION).unique().sort(*PARTITION).rows()

    def sums(self, value: pl.Expr) -> dict[Partition, int]:
        """The sum of an expression over the files of each partition."""
        grouped = self.files.group_by(*PARTITION).agg(value.sum().cast(pl.Int64))
        return {(date, subject): total for date, subject, total in grouped.iter_rows()}


class Newest:
    """The newest version of a table, kept open by one process; safe to share between threads.

    Whether others have written since is asked of the folder each time, so nobody reads what was before their commit.

    Args:
        path: the table's folder.
        open_newest: opens the table; None before its first write.
    """

    def __init__(self, path: Path, open_newest: Callable[[], DeltaTable | None]) -> None:
        self._log = path / "_delta_log"
        self._open = open_newest
        self._lock = threading.Lock()
        self._table: DeltaTable | None = None
        self._snapshot: Snapshot | None = None
        self._stamp: _Stamp = ()

    def snapshot(self) -> Snapshot | None:
        """What the newest version holds; None before the first write."""
        with self._lock:
            known = self._snapshot
            if known is not None and self._is_newest(known.version):
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

    def _is_newest(self, version: int) -> bool:
        return self._is_unchanged(version) and not (self._log / f"{version + 1:020}.json").exists()

    def _is_unchanged(self, version: int) -> bool:
        return bool(self._stamp) and self._stamp == self._stamp_of(version)

    def _stamp_of(self, version: int) -> _Stamp:
        """Changes if the commit, or the checkpoint that the log is read from, does; empty without the commit."""
        commit = _identity(self._log / f"{version:020}.json")
        return (commit, _identity(self._log / "_last_checkpoint")) if commit else ()

    def _refresh(self) -> None:
        known, table = self._snapshot, self._table
        self._snapshot = self._table = None
        if known is not None and table is not None and self._is_unchanged(known.version):
            table.update_incremental()  # others have only added commits
        else:
            table = self._open()
        if table is not None:
            self._keep(table)

    def _keep(self, table: DeltaTable) -> None:
        self._stamp = self._stamp_of(table.version())
        self._snapshot, self._table = Snapshot.of(table), table


def _identity(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
