"""Which files of the inbox are known not to have changed since they were ingested, without reading them again.

The inbox keeps every file of the history. A file with the name, size, times and inode that it had when its hash was
compared has the same bytes. Beside the inbox, `.<inbox>.seen` has what was compared; it can be deleted at any time.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from har.errors import LakeError
from har.lake import Lake, Partition
from har.lake.kept import keep, read_kept

_SETTLED_NS = 1_000_000_000
"""A file that was changed less than this ago may change once more within the clock's tick."""
_SCHEMA = pl.Schema(
    {
        "file": pl.String(),
        "size": pl.Int64(),
        "written_ns": pl.Int64(),
        "changed_ns": pl.Int64(),
        "inode": pl.UInt64(),
        "mode": pl.UInt32(),
        "sha256": pl.String(),
    }
)


class Stamp(NamedTuple):
    """What tells without reading that a file is as it was; `mode` has its type."""

    size: int
    written_ns: int
    changed_ns: int
    inode: int
    mode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp in what the system says of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode)

    def is_settled(self) -> bool:
        """Whether a further change would give another stamp, whatever the resolution of the clock."""
        return self.changed_ns < time.time_ns() - _SETTLED_NS


class Seen:
    """The files whose hashes were compared with the lake's.

    Args:
        inbox: their folder.
    """

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox
        self._path = inbox.parent / f".{inbox.name}.seen"

    def settled(self, lake: Lake, lost: Collection[Partition], date: dt.date | None = None) -> dict[str, list[str]]:
        """The date folders of which every file is unchanged and ingested, with those files as messages name them.

        Args:
            lake: a file counts as ingested if its row in `recordings` has the same hash.
            lost: subject-days of which files must be read again: their folders are not settled.
            date: this folder only; None: all.
        """
        known = self._known(lake, lost)
        names = [date.isoformat()] if date else _names(self._inbox)
        found = {name: _files(self._inbox / name, name, known) for name in names}
        return {name: files for name, files in found.items() if files is not None}

    def add(self, files: Iterable[tuple[str, Stamp, str]]) -> None:
        """Note files with their stamp, taken before the hash was computed, and the hash."""
        rows = [(file, *stamp, sha256) for file, stamp, sha256 in files]
        if rows:
            new = pl.DataFrame(rows, _SCHEMA, orient="row")
            keep(self._path, pl.concat([self._rows().join(new, on="file", how="anti"), new]))

    def _rows(self) -> pl.DataFrame:
        return read_kept(self._path, _SCHEMA)

    def _known(self, lake: Lake, lost: Collection[Partition]) -> dict[str, tuple[int, ...]]:
        rows = self._rows()
        if rows.is_empty():
            return {}
        ingested = lake.recordings.extract()
        again = lake.recordings.extract(lost)["file"]
        rows = rows.join(ingested.select("file", "sha256").unique(), on=["file", "sha256"], how="semi")
        rows = rows.filter(~pl.col("file").is_in(again.implode()))
        return {file: tuple(stamp) for file, *stamp in rows.drop("sha256").iter_rows()}


def _names(inbox: Path) -> Iterable[str]:
    try:
        with os.scandir(inbox) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LakeError.unreadable(inbox, error) from error


def _files(folder: Path, name: str, known: Mapping[str, tuple[int, ...]]) -> list[str] | None:
    """The folder's files; None if one of its entries is not known or not as it was."""
    files: list[str] = []
    if folder.is_symlink():
        return None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                file = f"{name}/{entry.name}"
                if known.get(file) != Stamp.of(entry.stat(follow_symlinks=False)):
                    return None
                files.append(file)
    except OSError:  # whoever lists the inbox meets it again, and reports it
        return None
    return sorted(files)
