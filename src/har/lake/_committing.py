"""How a table is written to: one writer at a time in a folder, commits that are tried again on object storage."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from polars.exceptions import PolarsError

from har.errors import LakeError
from har.lake._keys import Added
from har.lake._lock import TableLock
from har.lake._optimistic import Marked, Optimistic, Write
from har.lake._readable import ReadableTable
from har.lake._snapshot import columns_of
from har.schema import Partition

T = TypeVar("T")

_LOCK_TIMEOUT_S = 60.0
_COMMIT_ATTEMPTS = 5

KEEP_LOG = PostCommitHookProperties(cleanup_expired_logs=False)
"""delta-rs would remove the log of versions that are 30 days old, also of those that a model was trained on."""


class WritableTable(ReadableTable):
    """What all writes of `Table` share; it has the arguments."""

    _optimistic: Optimistic | None
    _own: Added | None
    _properties: WriterProperties
    _retired: frozenset[str]

    def step(self, work: Callable[[], T], *, whole: bool = False) -> T:
        """Run `work`, which reads this table and then writes to it, so that no other writer comes between.

        A folder is locked meanwhile. On object storage `work` runs again if another writer did come between, so it must
        be harmless to run it twice.

        Args:
            work: the step.
            whole: on object storage, any commit of another writer counts; else only one that changed a partition to
                which `work` writes.

        Raises:
            LakeBusyError: another writer has locked the table for a minute.
            LakeConflictError: other writers came between at each of many attempts.
        """
        if self._optimistic is not None:
            return self._optimistic.step(work, whole=whole)
        with self.lock():
            return work()

    def lock(self) -> AbstractContextManager[None]:
        """The lock of writers of a folder, re-entrant within a thread; `step` works on object storage, too."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError.refused(self.path, error) from error
        return TableLock(self.path, _LOCK_TIMEOUT_S)

    def _alone(self) -> AbstractContextManager[None]:
        return self.lock() if self._optimistic is None else nullcontext()

    def _note(self, version: int, partitions: Iterable[Partition], *, whole: bool) -> None:
        if self._commits is not None:
            self._commits.add(version, partitions, whole=whole)

    def _commit(self, write: Write, partitions: Collection[Partition], *, keeps_keys: bool = False) -> int:
        try:
            if self._optimistic is None:
                before, after = self._commit_locked(write)
            else:
                before, after = self._optimistic.commit(write, partitions)
        except LakeError:
            raise
        except (PolarsError, OSError, DeltaError) as error:
            raise self._refused(error) from error
        if keeps_keys and self._own is not None and self._own.version == before and after <= before + 1:
            self._own.version = after
        return after

    def _commit_locked(self, write: Write) -> tuple[int, int]:
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                self._open()  # raises where the log of a table that was written before is gone
                with self._reader.newest.writing() as table:
                    before = -1 if table is None else table.version()
                    write(table, _plain)
                return before, self.version() if table is None else table.version()
            except CommitFailedError:  # by a writer on another host, which the file lock does not stop
                if attempt == _COMMIT_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    def _refused(self, error: Exception) -> Exception:
        if isinstance(error, CommitFailedError | PolarsError) and self._optimistic is None:
            return error
        self._reader.explain(None, error)
        return LakeError.refused(self.where, error)

    def _write(
        self, table: DeltaTable | None, frame: pl.DataFrame, marked: Marked, *, partitions: int, **how: Any
    ) -> DeltaTable | None:
        if table is None and self._optimistic is not None:
            table = self._create()
        write_deltalake(
            str(self.path) if table is None else table,
            frame,
            **how,
            schema_mode="merge" if table is not None and self._differs(table) else None,
            partition_by=["date", "subject"],
            writer_properties=self._properties,
            commit_properties=marked({"har.partitions": str(partitions)}),
            post_commithook_properties=KEEP_LOG,
        )
        return table

    def _create(self) -> DeltaTable:
        """An empty table as version 0: to write rows at once could put them beside those of another first writer."""
        try:
            table = DeltaTable.create(
                str(self.where),
                pl.DataFrame(schema=self.schema).to_arrow().schema,
                mode="error",
                partition_by=["date", "subject"],
                storage_options=self.where.options,
                # With the default, of two at once the second one would be a commit that begins the table again.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError as error:
            if self._reader.open() is None:
                raise
            raise CommitFailedError("another writer has made the table") from error
        if table.version() > 0:
            raise CommitFailedError("another writer has already written to the table")
        return table

    def _differs(self, table: DeltaTable) -> bool:
        """Whether the stored table lacks columns or still has retired ones."""
        stored = columns_of(table)
        return bool(self._reader.absent(stored)) or not self._retired.isdisjoint(stored)


def _plain(notes: dict[str, str]) -> CommitProperties:
    return CommitProperties(custom_metadata=notes or None)
