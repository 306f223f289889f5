"""Open a Delta table and read its files, whatever characters its path has; damage is reported by partition."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from polars.exceptions import PanicException, PolarsError

from har.errors import LakeDamageError, LakeError, reason
from har.lake._sums import Sums, crc32
from har.lake._where import in_order
from har.schema import Partition

File = dict[str, Any]
"""The log's entry for a file: path (absolute), size_bytes, modification_time, num_records, null_count.…, min.…"""

FILE_ERRORS = (PolarsError, OSError, PanicException)
"""What Polars raises for a file that is missing or damaged."""

_BAD_IN_PATH = re.compile(r"[\x00-\x1f\x7f\[\]\\^|]|%[0-9A-Fa-f]{2}")
_PARTITION = pl.Schema({"date": pl.Date, "subject": pl.String})
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
        path: its folder.
        schema: the columns to return.
        added: columns that may be absent; they are read as null.
        rebuild: the command that makes lost rows again; "" if there is none.
    """

    def __init__(self, path: Path, schema: pl.Schema, added: frozenset[str], rebuild: str) -> None:
        check_path(path)
        self.path = path
        self.schema = schema
        self._added = added
        self._rebuild = rebuild
        self.sums = Sums(path)

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at a version (None: the newest); None before its first write.

        Raises:
            LakeError: there is no such version.
            LakeDamageError: the log cannot be read.
        """
        if version == -1:
            return None
        try:
            return DeltaTable(str(self.path), version=version)
        except TableNotFoundError:
            if version is None:
                return None
            raise
        except (OSError, DeltaError) as error:
            if version is not None and self.open() is not None:
                raise LakeError(
                    where=str(self.path),
                    expected=f"version {version} of the table",
                    got=reason(error),
                    remedy="`har status` lists the newest versions; older ones are kept for a week or in a backup.",
                ) from error
            raise LakeDamageError(
                where=str(self.path / "_delta_log"),
                expected="a log of a Delta table that can be read",
                got=reason(error),
                remedy="If the folder's permissions are right, run `har check --repair`: it moves unreadable files of "
                "the log aside, and says what to do next.",
            ) from error

    def absent(self, table: DeltaTable) -> list[str]:
        """The columns that the table lacks, all of them in `added`.

        Raises:
            LakeError: it lacks others.
        """
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

    def files(self, table: DeltaTable | None) -> dict[Partition, list[File]]:
        """The log's entries for the files of each partition."""
        files: dict[Partition, list[File]] = {}
        if table is None:
            return files
        self._check_features(table)
        for file in pl.DataFrame(table.get_add_actions(flatten=True)).iter_rows(named=True):
            if file.get("deletionVector.storageType") is not None:
                raise self._foreign("without deletion vectors", f"one on {file['path']}")
            file["path"] = str(self.path / unquote(file["path"]))
            files.setdefault((file["partition.date"], file["partition.subject"]), []).append(file)
        return files

    def scan(self, table: DeltaTable, partitions: Iterable[Partition] | None) -> pl.LazyFrame:
        """The rows of the table or of some partitions, lazily.

        `polars.scan_delta` cannot be used: it takes the percent-encoded address of the table for a path.
        """
        self.absent(table)
        files = self.files(table)
        chosen = files if partitions is None else set(partitions).intersection(files)
        paths = {file["path"]: partition for partition in in_order(chosen) for file in files[partition]}
        if not paths:
            return pl.LazyFrame(schema=self.schema)
        stored = pl.Schema({name: dtype for name, dtype in self.schema.items() if name not in _PARTITION})
        # Polars reads date and subject from the names of the folders, and would do so above the table, too.
        hive = not any("=" in part for part in self.path.parts)
        frame = pl.scan_parquet(
            list(paths),
            glob=False,
            schema=stored,
            hive_partitioning=hive,
            hive_schema=_PARTITION if hive else None,
            include_file_paths=None if hive else _PATH,
            cast_options=_CASTS,
            missing_columns="insert",
            extra_columns="ignore",
        )
        if not hive:
            rows = [(path, *partition) for path, partition in paths.items()]
            places = pl.LazyFrame(rows, {_PATH: pl.String, **_PARTITION}, orient="row")
            frame = frame.join(places, on=_PATH, how="left", maintain_order="left")
        return frame.select(self.schema.names())

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
            self.explain(self.files(self.open(version)), error)
            raise

    def require_intact(self, files: dict[Partition, list[File]]) -> None:
        """Compare the checksums of files.

        Raises:
            LakeDamageError: a file is missing or damaged; names its partition.
        """
        damaged = self.damaged(files, content=True)
        if damaged:
            raise damage(self.path, damaged, self._rebuild)

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
                return pl.read_parquet(paths, columns=columns, hive_partitioning=False, glob=False).cast(schema)
            return (
                pl.scan_parquet(
                    paths,
                    schema=schema,
                    missing_columns="insert",
                    extra_columns="ignore",
                    hive_partitioning=False,
                    glob=False,
                )
                .select(columns)
                .collect()
            )
        except FILE_ERRORS as error:
            self.explain({partition: files}, error)
            raise

    def damaged(self, files: dict[Partition, list[File]], *, content: bool) -> dict[Partition, dict[str, str]]:
        """The files that are missing or cut short, by partition, with the reason.

        Args:
            files: the log's entries.
            content: read them, too, and compare checksums; a file of an older release has none and is only decoded.
        """
        found: dict[Partition, dict[str, str]] = {}
        for partition, group in files.items():
            bad = {file["path"]: why for file in group if (why := self._fault(file, content=content))}
            if bad:
                found[partition] = bad
        return found

    def _fault(self, file: File, *, content: bool) -> str:
        path = Path(file["path"])
        try:
            size = path.stat().st_size
            if size != file["size_bytes"]:
                return f"{size} bytes instead of {file['size_bytes']}"
            expected = self.sums.expected(path) if content else None
            if expected is not None:
                return "" if crc32(path) == expected else "other bytes than were written (CRC-32)"
            if content:
                rows = len(pl.read_parquet(path, hive_partitioning=False, glob=False))
                if rows != file["num_records"]:
                    return f"{rows} rows instead of {file['num_records']}"
        except FILE_ERRORS as error:
            return "no such file" if isinstance(error, FileNotFoundError) else _first_line(error)
        return ""

    def explain(self, files: dict[Partition, list[File]], error: BaseException) -> None:
        """Raise a LakeDamageError that names the files at fault, if there are any."""
        damaged = self.damaged(files, content=False) or self.damaged(files, content=True)
        if damaged:
            raise damage(self.path, damaged, self._rebuild) from error

    def _check_features(self, table: DeltaTable) -> None:
        protocol = table.protocol()
        unknown = {*(protocol.reader_features or ())} - _FEATURES - {"deletionVectors"}
        if protocol.min_reader_version == 2 or unknown:
            raise self._foreign(
                "that any reader understands", f"one with {', '.join(sorted(unknown)) or 'column mapping'}"
            )

    def _foreign(self, expected: str, got: str) -> LakeError:
        return LakeError(
            where=str(self.path),
            expected=f"a table {expected}",
            got=got,
            remedy="Another engine wrote it: rewrite the table with it (Spark: REORG TABLE).",
        )


_PATH = "file path"


def damage(table: Path, damaged: dict[Partition, dict[str, str]], rebuild: str) -> LakeDamageError:
    """The error about damaged files of a table.

    Args:
        table: its folder.
        damaged: of `Reader.damaged`.
        rebuild: the command that makes lost rows again; "" if there is none.
    """
    (date, subject), files = next(iter(damaged.items()))
    path, why = next(iter(files.items()))
    return LakeDamageError(
        where=f"{table.name}, {date}, subject {subject}: {path}",
        expected="the file as it was written",
        got=f"{why}{_more(damaged)}",
        remedy="Restore it from a backup; or give its rows up: `har check --repair`"
        + (f", then make them again: `{rebuild}`." if rebuild else "."),
    )


def _more(damaged: Collection[Partition]) -> str:
    return f", and {len(damaged) - 1} more subject-days" if len(damaged) > 1 else ""


def _first_line(error: BaseException) -> str:
    return reason(error) if isinstance(error, Exception) else (str(error).splitlines() or ["no reason"])[0][:200]
