"""Open a Delta table and read its files, whatever characters its path has; damage is reported by partition."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from polars.exceptions import PanicException, PolarsError

from har.errors import LakeDamageError, LakeError, StoreError, reason
from har.lake._snapshot import PARTITION, Newest, Snapshot
from har.lake._sums import Sums, crc32, sizes
from har.schema import Partition
from har.storage import Location

File = dict[str, Any]
"""The log's entry for a file: a row of `Snapshot.files`, but with the absolute path."""

FILE_ERRORS = (PolarsError, OSError, PanicException)
"""What Polars raises for a file that is missing or damaged."""

_BAD_IN_PATH = re.compile(r"[\x00-\x1f\x7f\[\]\\^|]|%[0-9A-Fa-f]{2}")
_CASTS = pl.ScanCastOptions(
    integer_cast="upcast", float_cast="upcast", datetime_cast=["nanosecond-downcast", "convert-timezone"]
)
_FEATURES = {"timestampNtz", "variantType", "variantType-preview"}


def check_path(path: Path) -> None:
    """Refuse a path that delta-rs cannot address: it would panic, or use another folder.

    Raises:
        LakeError: names the character.
    """
    found = _BAD_IN_PATH.search(str(path))
    if found:
        raise LakeError(
            where=str(path),
            expected="a path for the tables without control characters, [ ] \\ ^ | and %XX, which delta-rs cannot open",
            got=repr(found[0]),
            remedy="Rename the folder, or set paths.lake in har.toml to a folder elsewhere, such as "
            f'"{Path.home() / "har-lake"}".',
        )


class Reader:
    """Reads one table.

    Args:
        where: the table.
        schema: the columns to return.
        added: columns that may be absent; they are read as null.
        rebuild: the command that makes lost rows again; "" if there is none.
    """

    def __init__(self, where: Location, schema: pl.Schema, added: frozenset[str], rebuild: str) -> None:
        if where.is_local:
            check_path(where.local)
        self.where = where
        self.schema = schema
        self._added = added
        self._rebuild = rebuild
        self.sums = Sums(where.local) if where.is_local else None
        self.newest = Newest(where, self._open)
        self._earlier: dict[int, Snapshot | None] = {}

    def __reduce__(self) -> tuple[type[Reader], tuple[Location, pl.Schema, frozenset[str], str]]:
        """Pickle the place, not the open table."""
        return Reader, (self.where, self.schema, self._added, self._rebuild)

    def open(self, version: int | None = None) -> Snapshot | None:
        """What the table holds at a version (None: the newest); None before its first write.

        Raises:
            LakeError: there is no such version.
            LakeDamageError: the log cannot be read.
        """
        if version == -1:
            return None
        newest = self.newest.snapshot()
        if version is None or (newest is not None and newest.version == version):
            return self._readable(newest)
        if version not in self._earlier:
            table = self._open(version)
            earlier = None if table is None else self._readable(Snapshot.of(table))
            if self.where.is_local:
                return earlier
            self._earlier = {version: earlier}  # a step looks at the same one again and again
        return self._earlier[version]

    def _open(self, version: int | None = None) -> DeltaTable | None:
        self.where.require_reachable()
        options = self.where.options
        try:
            return DeltaTable(str(self.where), version=version, storage_options=options)
        except TableNotFoundError:
            if version is None:
                return None
            raise
        except (OSError, DeltaError) as error:
            self.where.require_answer(error)
            if version is not None and self._open() is not None:
                raise LakeError(
                    where=str(self.where),
                    expected=f"version {version} of the table",
                    got=reason(error),
                    remedy="`har status` lists the newest versions; older ones are kept for a week or in a backup.",
                ) from error
            raise LakeDamageError(
                where=str(self.where / "_delta_log"),
                expected="a log of a Delta table that can be read",
                got=reason(error),
                remedy="If the folder's permissions are right, run `har check --repair`: it moves unreadable files of "
                "the log aside, and says what to do next.",
            ) from error

    def absent(self, present: Collection[str]) -> list[str]:
        """The columns that a table with these columns lacks, all of them in `added`.

        Raises:
            LakeError: it lacks others.
        """
        absent = [name for name in self.schema if name not in present]
        unexpected = [name for name in absent if name not in self._added]
        if unexpected:
            raise LakeError(
                where=str(self.where),
                expected=f"a table with the column {unexpected[0]!r}",
                got=f"the columns {', '.join(sorted(present))}",
                remedy="It was written with other settings: restore them, or set paths.lake to another folder.",
            )
        return absent

    def files(
        self, table: Snapshot | None, partitions: Iterable[Partition] | None = None
    ) -> dict[Partition, list[File]]:
        """The log's entries for the files of each partition, or of some partitions."""
        if table is None:
            return {}
        return self.entries(table.files if partitions is None else table.of_partitions(partitions))

    def entries(self, rows: pl.DataFrame) -> dict[Partition, list[File]]:
        """Rows of `Snapshot.files` as dictionaries, by partition."""
        files: dict[Partition, list[File]] = {}
        for file in rows.iter_rows(named=True):
            file["path"] = self.place(file["path"])
            files.setdefault((file["date"], file["subject"]), []).append(file)
        return files

    def place(self, path: str) -> str:
        """The absolute path of a file, of its path in the log or an absolute one."""
        if path.startswith(f"{self.where}/"):
            return path
        return f"{self.where}/{unquote(path) if '%' in path else path}"

    def scan(
        self,
        table: Snapshot,
        partitions: Iterable[Partition] | None = None,
        *,
        rows: pl.DataFrame | None = None,
        paths_as: str | None = None,
    ) -> pl.LazyFrame:
        """The rows of the table or of some of its files, lazily.

        `polars.scan_delta` cannot be used: it takes the percent-encoded address of the table for a path.

        Args:
            table: at the version to read.
            partitions: those to read; None: all.
            rows: of `table.files`, the files to read instead.
            paths_as: a further column of this name has the path of each row's file.
        """
        self.absent(table.columns)
        if rows is None:
            rows = table.files if partitions is None else table.of_partitions(partitions)
        places = rows.with_row_index("order").sort("date", "subject", "order", nulls_last=False)
        paths = dict(zip(map(self.place, places["path"]), places.select("date", "subject").iter_rows(), strict=True))
        if not paths:
            extra = {} if paths_as is None else {paths_as: pl.String()}
            return pl.LazyFrame(schema=pl.Schema({**self.schema, **extra}))
        stored = pl.Schema({name: dtype for name, dtype in self.schema.items() if name not in PARTITION})
        # Polars reads date and subject from the names of the folders, and would do so above the table, too.
        hive = paths_as is None and not any("=" in part for part in str(self.where).split("/"))
        frame = pl.scan_parquet(
            list(paths),
            glob=False,
            schema=stored,
            hive_partitioning=hive,
            hive_schema=PARTITION if hive else None,
            include_file_paths=None if hive else _PATH,
            cast_options=_CASTS,
            missing_columns="insert",
            extra_columns="ignore",
            **self.where.polars,
        )
        if not hive:
            known = [(path, *partition) for path, partition in paths.items()]
            folders = pl.LazyFrame(known, {_PATH: pl.String, **PARTITION}, orient="row")
            frame = frame.join(folders, on=_PATH, how="left", maintain_order="left")
        extra_column = [] if paths_as is None else [pl.col(_PATH).alias(paths_as)]
        return frame.select(*self.schema.names(), *extra_column)

    def collect(self, frame: pl.LazyFrame, version: int | None = None) -> pl.DataFrame:
        """Collect a frame of `scan`.

        Args:
            frame: to collect.
            version: that it reads; None: the newest.

        Raises:
            LakeDamageError: a file is missing or damaged; names its partition.
        """
        try:
            return frame.collect()
        except FILE_ERRORS as error:
            table = self.open(version)
            self.explain(None if table is None else table.files, error)
            raise

    def require_intact(self, files: pl.DataFrame) -> None:
        """Compare the checksums of files.

        Raises:
            LakeDamageError: a file is missing or damaged; names its partition.
        """
        damaged = self.damaged(files, content=True)
        if damaged:
            raise damage(self.where.name, damaged, self._rebuild)

    def read(self, files: Iterable[File], columns: list[str], partition: Partition) -> pl.DataFrame:
        """These columns of a partition's files, in the order of the files; date and subject are not among them.

        Raises:
            LakeDamageError: a file is missing or damaged.
        """
        files = list(files)
        schema = pl.Schema({name: self.schema[name] for name in columns})
        if not files:
            return pl.DataFrame(schema=schema)
        paths = [file["path"] for file in files]
        try:
            if self._added.isdisjoint(columns):
                return pl.read_parquet(
                    paths, columns=columns, hive_partitioning=False, glob=False, **self.where.polars
                ).cast(schema)
            return (
                pl.scan_parquet(
                    paths,
                    schema=schema,
                    missing_columns="insert",
                    extra_columns="ignore",
                    hive_partitioning=False,
                    glob=False,
                    **self.where.polars,
                )
                .select(columns)
                .collect()
            )
        except FILE_ERRORS as error:
            rows = pl.DataFrame(files, infer_schema_length=None)
            date, subject = partition
            self.explain(rows.with_columns(date=pl.lit(date, pl.Date), subject=pl.lit(subject, pl.String)), error)
            raise

    def damaged(self, files: pl.DataFrame, *, content: bool) -> dict[Partition, dict[str, str]]:
        """The files that are missing or cut short, by partition, with the reason.

        Args:
            files: rows of `Snapshot.files`.
            content: read them, too, and compare checksums; a file of an older release has none and is only decoded.
        """
        found: dict[Partition, dict[str, str]] = {}
        columns = ("date", "subject", "path", "size_bytes", "num_records")
        if self.where.is_local and not content:
            files = files.filter(self._of_other_size(files))
        size_of = sizes(self.where, len(files))
        for date, subject, name, size, count in files.select(columns).iter_rows():
            path = self.place(name)
            why = self._fault(path, size, count, size_of, content=content)
            if why:
                found.setdefault((date, subject), {})[path] = why
        return found

    def _of_other_size(self, files: pl.DataFrame) -> pl.Series:
        """Which files of a folder cannot be found with the size of the log: most of a long history is as it was."""
        prefix, stat = f"{self.where}/", os.stat

        def differs(path: str, size: int) -> bool:
            try:
                return bool(stat(prefix + (unquote(path) if "%" in path else path)).st_size != size)
            except OSError:
                return True

        return pl.Series(list(map(differs, files["path"], files["size_bytes"])), dtype=pl.Boolean)

    def _fault(self, path: str, size: int, count: int | None, size_of: Callable[[str], int], *, content: bool) -> str:
        try:
            there = size_of(path)
            if there != size:
                return f"{there} bytes instead of {size}"
            expected = self.sums.expected(Path(path)) if content and self.sums is not None else None
            if expected is not None:
                return "" if crc32(Path(path)) == expected else "other bytes than were written (CRC-32)"
            if content:
                rows = len(pl.read_parquet(path, hive_partitioning=False, glob=False, **self.where.polars))
                if rows != count:
                    return f"{rows} rows instead of {count}"
        except StoreError:
            raise
        except FILE_ERRORS as error:
            self.where.require_answer(error)
            return "no such file" if isinstance(error, FileNotFoundError) else _first_line(error)
        return ""

    def explain(self, files: pl.DataFrame | None, error: BaseException) -> None:
        """Raise a LakeDamageError that names the files at fault, if there are any; None: look at the newest version.

        Raises:
            StoreError: the store refused.
        """
        self.where.require_answer(error)
        if files is None:
            table = self.open()
            files = pl.DataFrame() if table is None else table.files
        if files.is_empty():
            return
        damaged = self.damaged(files, content=False) or self.damaged(files, content=True)
        if damaged:
            raise damage(self.where.name, damaged, self._rebuild) from error

    def _readable(self, table: Snapshot | None) -> Snapshot | None:
        """Refuse a table that another engine wrote in a way that this reader would misread."""
        if table is None:
            return None
        least, features = table.protocol
        unknown = features - _FEATURES - {"deletionVectors"}
        if least == 2 or unknown:
            raise self._foreign(
                "that any reader understands", f"one with {', '.join(sorted(unknown)) or 'column mapping'}"
            )
        if table.deleted:
            raise self._foreign("without deletion vectors", f"one on {table.deleted}")
        return table

    def _foreign(self, expected: str, got: str) -> LakeError:
        return LakeError(
            where=str(self.where),
            expected=f"a table {expected}",
            got=got,
            remedy="Another engine wrote it: rewrite the table with it (Spark: REORG TABLE).",
        )


_PATH = "file path"


def damage(table: str, damaged: dict[Partition, dict[str, str]], rebuild: str) -> LakeDamageError:
    """The error about damaged files of a table.

    Args:
        table: its name.
        damaged: of `Reader.damaged`.
        rebuild: the command that makes lost rows again; "" if there is none.
    """
    (date, subject), files = next(iter(damaged.items()))
    path, why = next(iter(files.items()))
    return LakeDamageError(
        where=f"{table}, {date}, subject {subject}: {path}",
        expected="the file as it was written",
        got=f"{why}{_more(damaged)}",
        remedy="Restore it from a backup; or give its rows up: `har check --repair`"
        + (f", then make them again: `{rebuild}`." if rebuild else "."),
    )


def _more(damaged: Collection[Partition]) -> str:
    return f", and {len(damaged) - 1} more subject-days" if len(damaged) > 1 else ""


def _first_line(error: BaseException) -> str:
    return reason(error) if isinstance(error, Exception) else (str(error).splitlines() or ["no reason"])[0][:200]
