"""Some columns of a whole table in one file beside it: a table of many small files takes seconds to read.

A file of a Delta table never changes, so what was read of it stays true as long as the log names it. The extract holds
each row with the name of its file: reading it again reads only files that are new, and drops the rows of those that are
gone. It is made of the table alone and can be deleted at any time. Of a table on object storage, each process makes its
own, in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import polars as pl

from har.lake._reader import FILE_ERRORS, Reader
from har.lake._snapshot import PARTITION, Snapshot
from har.lake.kept import keep, read_kept

_FILE = "file of the table"
_COUNT = "rows"


class Extract:
    """The extract of one table, in `.<table>.extract`.

    Args:
        reader: of the table.
        columns: which, besides date and subject.
        counted: one row for all rows of a file with the same values, and their number in the column `rows`.
    """

    def __init__(self, reader: Reader, columns: Iterable[str], counted: bool = False) -> None:
        where = reader.where
        self._path = where.local.parent / f".{where.name}.extract" if where.is_local else None
        self._reader = reader
        self._columns = [*PARTITION, *(name for name in columns if name not in PARTITION)]
        self._counted = counted
        stored = {name: reader.schema[name] for name in self._columns}
        self.schema = pl.Schema({**stored, **({_COUNT: pl.UInt32()} if counted else {})})
        self._lock = threading.Lock()
        self._rows: pl.DataFrame | None = None
        self._version = -1

    def __reduce__(self) -> tuple[type[Extract], tuple[Reader, list[str], bool]]:
        """Pickle what it is of, not what was read."""
        return Extract, (self._reader, self._columns, self._counted)

    def rows(self, table: Snapshot | None) -> pl.DataFrame:
        """The columns of all rows; within a partition in the order in which they were written.

        Raises:
            LakeDamageError: a new file is missing or damaged; names its partition.
        """
        if table is None:
            return pl.DataFrame(schema=self.schema)
        with self._lock:
            if self._rows is None or self._version != table.version:
                known = self._stored() if self._rows is None else self._rows
                self._rows, self._version = self._of(table, known), table.version
            return self._rows.drop(_FILE)

    def _of(self, table: Snapshot, known: pl.DataFrame) -> pl.DataFrame:
        order = table.files.select(pl.col("path").alias(_FILE)).with_row_index("order")
        still = known.join(order, on=_FILE, how="semi", maintain_order="left")
        new = table.files.filter(~pl.col("path").is_in(still[_FILE].unique().implode()))
        # A file without rows is looked at each time; a table has few of them.
        if new.is_empty() and len(still) == len(known):
            return known
        rows = pl.concat([still, self._read(table, new)])
        rows = rows.join(order, on=_FILE, how="left", maintain_order="left").sort("order", maintain_order=True)
        rows = rows.drop("order").rechunk()
        if self._path is not None:
            keep(self._path, rows)
        return rows

    def _read(self, table: Snapshot, files: pl.DataFrame) -> pl.DataFrame:
        rows = self._reader.scan(table, rows=files, paths_as=_FILE).select(*self._columns, _FILE)
        if self._counted:
            rows = rows.group_by(*self._columns, _FILE).agg(pl.len().cast(pl.UInt32).alias(_COUNT))
        try:
            found = rows.collect()
        except FILE_ERRORS as error:
            self._reader.explain(files, error)
            raise
        named = {self._reader.place(path): path for path in files["path"]}
        found = found.with_columns(pl.col(_FILE).replace_strict(named, return_dtype=pl.String))
        return found.select(*self.schema, _FILE)

    def _stored(self) -> pl.DataFrame:
        """What is on disk; nothing where that is damaged, or of another release."""
        schema = pl.Schema({**self.schema, _FILE: pl.String()})
        return pl.DataFrame(schema=schema) if self._path is None else read_kept(self._path, schema)
