"""Read the log of a Delta table: its columns, and its files with date and subject, at the newest version.

The batch box reads tables and never writes them. For that, `deltalake` would be a third of its image (140 MB), so this
follows the protocol's description of readers (PROTOCOL.md in delta-io/delta): the newest checkpoint, then the commits
after it. What it does not know, it refuses: deletion vectors, column mapping, newer features.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from har.errors import MalformedRowError, NotARecordingError
from har.schema import TIME, Partition

_NAME = re.compile(r"(\d{20})(?:\.(json)|\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet)")
_FEATURES = {"timestampNtz", "variantType", "variantType-preview", "deletionVectors"}
"""What may be in a table that this module can read: files with deletion vectors are refused one by one."""
_ACTIONS = ("protocol", "metaData", "add", "remove")
_TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "long": pl.Int64(),
    "integer": pl.Int32(),
    "short": pl.Int16(),
    "byte": pl.Int8(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "binary": pl.Binary(),
    "date": pl.Date(),
    "timestamp": TIME,
    "timestamp_ntz": pl.Datetime("us"),
}


@dataclass
class DeltaLog:
    """A table as its log describes it.

    Attributes:
        folder: of the table.
        version: the newest one.
        schema: all columns; those of a type that no sample has are `pl.Null`.
        partition_columns: in their order.
        sizes: bytes of each file, by path.
        partitions: date and subject of each file, as the log has them; by path.
    """

    folder: Path
    version: int
    schema: pl.Schema = field(default_factory=pl.Schema)
    partition_columns: list[str] = field(default_factory=list)
    sizes: dict[Path, int] = field(default_factory=dict)
    partitions: dict[Path, Mapping[str, str | None]] = field(default_factory=dict)

    def files(self) -> dict[Partition, list[Path]]:
        """The files of each date and subject.

        Raises:
            MalformedRowError: a partition has no date or no subject, or the columns are of other types.
        """
        found: dict[Partition, list[Path]] = {}
        types = (self.schema.get("date"), self.schema.get("subject"))
        for path, values in self.partitions.items():
            try:
                day = dt.date.fromisoformat(values.get("date") or "")
            except ValueError:
                day = None
            subject = values.get("subject")
            if types[0] != pl.Date or types[1] != pl.String or day is None or subject is None:
                raise MalformedRowError(
                    where="date",
                    expected="a date and a subject in every partition",
                    got=f"types {types[0]}, {types[1]}, or null",
                    remedy="Write `date` as a date and `subject` as text, and drop partitions without them.",
                )
            found.setdefault((day, subject), []).append(path)
        return found


def read_log(folder: Path) -> DeltaLog:
    """Read the log of the table in `folder`.

    Raises:
        NotARecordingError: there is none, it is damaged, or only a newer reader understands it.
    """
    log = folder / "_delta_log"
    try:
        commits, checkpoints = _listed(log)
        if not commits and not checkpoints:
            raise NotARecordingError(
                where="path", expected="a Delta table", got="none", remedy="Give the folder that contains _delta_log."
            )
        start = max(checkpoints, default=-1)
        newest = max(commits, default=start)
        table = DeltaLog(folder, max(newest, start))
        for path in checkpoints.get(start, ()):
            for action in _checkpointed(path):
                _apply(table, action)
        for version in range(start + 1, table.version + 1):
            if version not in commits:
                raise _damaged(f"version {version} is missing in its log")
            for line in commits[version].read_text(encoding="utf-8").splitlines():
                _apply(table, json.loads(line))
    except NotARecordingError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error
    if not table.schema:
        raise _damaged("a log without a description of the columns")
    return table


def _listed(log: Path) -> tuple[dict[int, Path], dict[int, list[Path]]]:
    """Commits by version, and complete checkpoints by version."""
    commits: dict[int, Path] = {}
    parts: dict[tuple[int, int], list[Path]] = {}
    if not log.is_dir():
        return {}, {}
    for path in sorted(log.iterdir()):
        found = _NAME.fullmatch(path.name)
        if found is None:
            continue
        version = int(found[1])
        if found[2]:
            commits[version] = path
        else:
            parts.setdefault((version, int(found[4] or 1)), []).append(path)
    # A writer that was killed may have left a part of a checkpoint.
    complete = {version: paths for (version, count), paths in sorted(parts.items()) if len(paths) == count}
    return commits, complete


def _checkpointed(path: Path) -> Iterator[dict[str, Any]]:
    for row in pl.read_parquet(path, glob=False, hive_partitioning=False).iter_rows(named=True):
        yield {name: row[name] for name in _ACTIONS if row.get(name) is not None}


def _apply(table: DeltaLog, action: Mapping[str, Any]) -> None:
    if protocol := action.get("protocol"):
        _require_known(protocol)
    if metadata := action.get("metaData"):
        fields = json.loads(metadata["schemaString"])["fields"]
        table.schema = pl.Schema({one["name"]: _type(one["type"]) for one in fields})
        table.partition_columns = list(metadata["partitionColumns"])
    if removed := action.get("remove"):
        path = _path(table.folder, removed["path"])
        table.sizes.pop(path, None)
        table.partitions.pop(path, None)
    if added := action.get("add"):
        if (added.get("deletionVector") or {}).get("storageType") is not None:
            raise _foreign("a deletion vector")
        path = _path(table.folder, added["path"])
        table.sizes[path] = int(added["size"])
        table.partitions[path] = _values(added["partitionValues"])


def _values(values: Any) -> dict[str, str | None]:
    """A map: an object in a commit, a list of keys and values in a checkpoint."""
    return dict(values) if isinstance(values, Mapping) else {one["key"]: one["value"] for one in values or ()}


def _type(name: Any) -> pl.DataType:
    return _TYPES.get(name, pl.Null()) if isinstance(name, str) else pl.Null()


def _path(folder: Path, name: str) -> Path:
    """The file of that name, relative to the table or absolute.

    Raises:
        NotARecordingError: it is an address.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        raise _foreign(f"a file at {name[:100]}")
    return folder / unquote(name)


def _require_known(protocol: Mapping[str, Any]) -> None:
    unknown = {*(protocol.get("readerFeatures") or ())} - _FEATURES
    version = protocol["minReaderVersion"]
    if version == 2 or version > 3 or unknown:
        raise _foreign(", ".join(sorted(unknown)) or ("column mapping" if version == 2 else f"version {version}"))


def _foreign(what: str) -> NotARecordingError:
    return NotARecordingError(
        where="path",
        expected="a table that any reader understands",
        got=f"one with {what}",
        remedy="Rewrite it with the engine that wrote it (Spark: REORG TABLE), or send the samples as Parquet files.",
    )


def _damaged(got: str) -> NotARecordingError:
    return NotARecordingError(
        where="samples",
        expected="a table that can be read",
        got=got.splitlines()[0][:200],
        remedy="The table is damaged: export or send it again.",
    )
