"""A Delta table partitioned by (date, subject): replace whole partitions, add or update rows by key, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import DeltaError

from har.errors import LakeError
from har.lake._columns import written
from har.lake._committing import KEEP_LOG, WritableTable
from har.lake._keys import Added, hashes
from har.lake._optimistic import Marked, Optimistic
from har.lake._reader import File
from har.lake._snapshot import PARTITION, Snapshot
from har.lake._where import either, in_order, ordered, partitions_of, ranges, sql
from har.schema import Partition
from har.storage import Location

SMALL_FILES = 32
"""Files of a partition that are worth merging; every append adds one. See `maintenance.small_files`."""


class Table(WritableTable):
    """A Delta table, partitioned by date and subject, with a fixed schema.

    In a folder, a file lock, which the operating system releases when its process ends, lets one writer at a time
    change the table. On object storage a commit is refused if another one came first, and tried again (`Optimistic`).

    Args:
        place: the table's folder, or its place on object storage.
        schema: its columns; date and subject are among them.
        added: columns that tables of older releases lack: they read as null, and the next write adds them.
        measured: whether lists are of measured values, which rarely repeat; they then have no dictionary, nor has any
            other column.
        retired: columns that older releases wrote: no longer read, and null in new rows.
        rebuild: the command that makes lost rows again; "": there is none, and after a loss nothing is written until a
            person has decided.
        extract: columns that are needed of the whole table, besides date and subject, see `extract`.
        counted: the extract has one row for all rows of a file with the same values, and their number as `rows`.
    """

    def __init__(
        self,
        place: Path | Location,
        schema: pl.Schema,
        *,
        added: Iterable[str] = (),
        retired: Iterable[str] = (),
        measured: bool = False,
        rebuild: str = "",
        extract: Iterable[str] = (),
        counted: bool = False,
    ) -> None:
        super().__init__(place, schema, added=added, rebuild=rebuild, extract=extract, counted=counted)
        self._optimistic = None if self.where.is_local else Optimistic(self.where, self._reader)
        self.small_files = SMALL_FILES
        self._retired = frozenset(retired)
        self._own: Added | None = None
        self._properties = written(schema, plain=measured)

    def lost(self) -> set[Partition]:
        """Partitions of commits that were written here and are gone, and that no later commit wrote anew.

        Somebody who removes the folder of a table that a command makes again has lost nothing.
        """
        if self._commits is None or (self.rebuild and not self.path.exists()):
            return set()
        table = self._reader.open()
        lost = self._commits.lost(-1 if table is None else table.version)
        return {partition for partitions in lost.values() for partition in partitions}

    def require_intact(self, version: int | None = None) -> None:
        """Compare the checksums of all files of a version (None: the newest).

        Raises:
            LakeDamageError: a file is missing or damaged; names its partition.
        """
        table = self._open(version)
        if table is not None:
            self._reader.require_intact(table.files)

    def require_all_commits(self) -> None:
        """Refuse to use a table whose lost rows no command makes again: later commits would hide the loss.

        Raises:
            LakeDamageError: says what is gone.
        """
        if self._commits is None or self.rebuild:
            return
        table = self._open()
        lost = self._commits.lost(-1 if table is None else table.version)
        if lost:
            raise self._commits.error(lost)

    def damaged(
        self, partitions: Iterable[Partition] | None = None, *, content: bool = False
    ) -> dict[Partition, dict[str, str]]:
        """Files that the log names and that are missing, cut short or, with `content`, not as they were written.

        Args:
            partitions: to look at; None: all.
            content: read the files, too.

        Returns:
            By partition, the path of each file and what is wrong with it.
        """
        table = self._open()
        if table is None:
            return {}
        files = table.files if partitions is None else table.of_partitions(partitions)
        return self._reader.damaged(files, content=content)

    def give_up_damaged(self) -> dict[Partition, dict[str, str]]:
        """Drop the files that cannot be read, as one commit; rows in other files stay. Returns what was dropped."""

        def give_up() -> dict[Partition, dict[str, str]]:
            damaged = self.damaged(content=True)
            if damaged:
                self._replace(self.readable(damaged), sorted(damaged), keep=None, made_good=False)
            return damaged

        return self.step(give_up)

    def readable(self, partitions: Iterable[Partition]) -> pl.DataFrame:
        """The rows of these partitions without those in files that cannot be read."""
        table = self._open()
        if table is None:
            return pl.DataFrame(schema=self.schema)
        files = table.of_partitions(partitions).sort(*PARTITION, maintain_order=True)
        bad = self._reader.damaged(files, content=True)
        good = {
            partition: [file for file in group if file["path"] not in bad.get(partition, {})]
            for partition, group in self._reader.entries(files).items()
        }
        return self._rows(good)

    def take_as_it_is(self) -> None:
        """Forget which commits there should be."""
        if self._commits is not None:
            with self.lock():
                self._commits.forget()

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
            LakeConflictError: within `step`: another writer has changed one of the partitions since.
            LakeError: the disk or store refuses.
        """
        wanted = in_order(partitions)
        frame = self._whole(frame)
        outside = frame.filter(~either(wanted))
        if len(outside):
            raise ValueError(f"rows of {outside.row(0)[:2]}, which is not among the partitions to replace")
        with self._alone():
            self.require_all_commits()
            return self._replace(frame, wanted, keep=keep, made_good=True)

    def _replace(
        self, frame: pl.DataFrame, wanted: list[Partition], *, keep: str | pl.Expr | None, made_good: bool
    ) -> int:
        def write(table: DeltaTable | None, marked: Marked) -> DeltaTable | None:
            # Read again at every attempt: a write between this and the commit makes the commit fail.
            rows = frame
            if table is not None and keep is not None:
                rows = pl.concat([self._rows_to_keep(table, wanted, keep), frame])
            predicate = None if table is None else sql(wanted)
            return self._write(table, rows, marked, mode="overwrite", predicate=predicate, partitions=len(wanted))

        version = self._commit(write, wanted)
        self._note(version, wanted, whole=made_good)
        return version

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
        keys = frame.select(names).with_row_index("row").unique(names, keep="first", maintain_order=True)
        new, added, rows = frame.clear(), Added(tuple(names), -1, -1), keys.clear()

        def write(table: DeltaTable | None, marked: Marked) -> DeltaTable | None:
            # Looked up again at every attempt: somebody else may have added the same rows.
            nonlocal new, added, rows
            added = self._since(tuple(names), -1 if table is None else table.version())
            rows = self._unknown(added, keys, key)
            chosen = rows["row"]
            new = frame if len(chosen) == len(frame) else frame[chosen]
            if new.is_empty():
                return None
            return self._write(table, new, marked, mode="append", partitions=new["date"].n_unique())

        with self._alone():
            self.require_all_commits()
            version = self._commit(write, partitions_of(frame))
            if len(new):
                self._note(version, partitions_of(new), whole=False)
                added.keys.add(hashes(rows.select(names)))
                if version == added.version + 1:
                    added.version = version  # else another host wrote, too, and the next addition looks everything up
            return len(new)

    def _since(self, names: tuple[str, ...], version: int) -> Added:
        """What this process added, if nobody else has written since; else nothing, from this newest version on."""
        if self._own is None or self._own.version != version or self._own.names != names:
            self._own = Added(names, version, version)
        return self._own

    def _unknown(self, added: Added, keys: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
        """The rows of `keys` that the table does not hold."""
        rows = self._not_at(added.base, keys, key)
        marks = hashes(keys.drop("row"))
        again = keys.filter(pl.Series(added.keys.may_hold(marks), dtype=pl.Boolean))
        if len(again):  # rows that come twice, or a hash that two keys share
            seen = again.join(self._not_at(None, again, key), on="row", how="anti")
            rows = rows.join(seen, on="row", how="anti", maintain_order="left")
        return rows

    def _not_at(self, version: int | None, keys: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
        """The rows of `keys` that the table does not hold at a version."""
        names = ["date", "subject", *key]
        rows = self.scan(version, partitions_of(keys)).filter(ranges(keys, key)).select(names)
        known = self.collect(rows, version)
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
        changed: int | None = 0

        def write(table: DeltaTable | None, marked: Marked) -> DeltaTable | None:
            nonlocal changed
            if table is None:
                return None
            before, changed = table.version(), None
            merge = table.merge(
                frame,
                predicate=" AND ".join(terms),
                source_alias="s",
                target_alias="t",
                writer_properties=self._properties,
                commit_properties=marked({}),
                post_commithook_properties=KEEP_LOG,
            )
            updates = {name: f"s.{name}" for name in frame.columns if name not in names}
            changed = int(merge.when_matched_update(updates).execute()["num_target_rows_updated"])
            return None if table.version() == before else table

        with self._alone():
            self.require_all_commits()
            version = self._commit(write, partitions_of(frame), keeps_keys=True)
            if version >= 0:
                self._note(version, partitions_of(frame), whole=False)
        if changed is None and self._optimistic is not None:  # committed, but the answer was lost
            changed = self._optimistic.noted(version, "num_target_rows_updated")
        return changed or 0

    def compact(self, partitions: Iterable[Partition], *, most: int | None = None) -> int:
        """Merge the files of those partitions that have many; the rows do not change.

        Args:
            partitions: to look at.
            most: merge so many at most, as each is a commit; those with the most files come first.

        Returns:
            How many were merged.
        """
        with self._alone():
            wanted = in_order(partitions)
            files = self._reader.files(self._open(), wanted)
            many = [one for one in wanted if len(files.get(one, [])) >= self.small_files]
            if most is not None and len(many) > most:
                many = sorted(many, key=lambda one: -len(files[one]))[:most]
            for date, subject in many:
                chosen = [("date", "=", date.isoformat()), ("subject", "=", subject)]
                merge = partial(_merge_files, chosen=chosen, properties=self._properties)
                version = self._commit(merge, [(date, subject)], keeps_keys=True)
                self._note(version, [], whole=False)
        return len(many)

    def tend(self, work: Callable[[DeltaTable], int]) -> int:
        """Let `work` remove files or shorten the log of the open table; returns how many files it removed.

        Raises:
            LakeBusyError: another writer has locked the table for a minute.
            LakeError: the disk refuses.
        """
        with self._alone():
            try:
                with self._reader.newest.writing() as table:
                    removed = 0 if table is None else work(table)
                if removed and self._reader.sums is not None:
                    self._reader.sums.forget_removed()
                return removed
            except (OSError, DeltaError) as error:
                self.where.require_answer(error)
                raise LakeError.refused(self.where, error) from error

    def _whole(self, frame: pl.DataFrame) -> pl.DataFrame:
        """All columns of the schema, in their order; a row without date or subject would spoil the whole table."""
        frame = frame.cast(self.schema).select(self.schema.names())
        nowhere = frame.filter(pl.col("date").is_null() | (pl.col("subject").fill_null("") == ""))
        if len(nowhere):
            raise LakeError(
                where=str(self.where),
                expected="rows with a date and a subject",
                got=f"{len(nowhere)} without, of {len(frame)}; the first: {nowhere.head(1).to_dicts()[0]}",
                remedy="Nothing was written. Find out where these rows come from.",
            )
        return frame

    def _rows_to_keep(self, table: DeltaTable, partitions: Iterable[Partition], keep: str | pl.Expr) -> pl.DataFrame:
        """The rows that `replace` keeps; files that have none of them according to the log are not read."""
        nulls = f"null_count.{keep}" if isinstance(keep, str) else ""
        condition = pl.col(keep).is_not_null() if isinstance(keep, str) else keep
        wanted = list(partitions)
        files = self._reader.files(Snapshot.of(table), wanted)
        chosen = {
            partition: [
                file
                for file in files.get(partition, [])
                if file.get(nulls) is None or file[nulls] < file["num_records"]
            ]
            for partition in wanted
        }
        return self._rows(chosen).filter(condition)

    def _rows(self, files: Mapping[Partition, list[File]]) -> pl.DataFrame:
        columns = [name for name in self.schema if name not in ("date", "subject")]
        parts = [pl.DataFrame(schema=self.schema)]
        for (date, subject), group in files.items():
            if group:
                rows = self._reader.read(group, columns, (date, subject))
                partition = (pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"))
                parts.append(rows.with_columns(partition).select(self.schema.names()))
        return pl.concat(parts)


def _merge_files(
    table: DeltaTable | None, marked: Marked, chosen: list[tuple[str, str, str]], properties: WriterProperties
) -> DeltaTable | None:
    if table is None:
        return None
    before = table.version()
    table.optimize.compact(
        chosen, writer_properties=properties, commit_properties=marked({}), post_commithook_properties=KEEP_LOG
    )
    return None if table.version() == before else table
