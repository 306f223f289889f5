"""A record of a table's commits beside it, which shows later that some of them are gone.

After a crash of the machine, the newest files of a Delta log can be empty or absent, and the table reads as if they had
never been written. So each commit is synced to disk, and then noted in `.<table>.commits` with the partitions that it
changed. A table without a record, such as one of an older release, has lost nothing that is known.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from har.errors import LakeDamageError, LakeError, reason
from har.files import write_atomically
from har.lake._snapshot import identity
from har.lake._sums import Sums
from har.lake._where import in_order
from har.schema import Partition

_KEPT = 20
"""Commits in the record; a crash loses those of its last half minute."""
_FORMAT = 1


@dataclass(frozen=True)
class Commit:
    """A commit as it was written: its version, the size and SHA-256 of its log file, the partitions it changed."""

    version: int
    size: int
    sha256: str
    partitions: frozenset[Partition]


class Commits:
    """The record of one table.

    Args:
        table: the table's folder.
    """

    def __init__(self, table: Path) -> None:
        self._table = table
        self.path = table.parent / f".{table.name}.commits"
        self.sums = Sums(table)
        self._last_read: tuple[tuple[object, ...], list[Commit], dict[int, frozenset[Partition]]] | None = None

    @property
    def exists(self) -> bool:
        """Whether a commit was ever recorded."""
        return self.path.exists()

    def lost(self, version: int) -> dict[int, frozenset[Partition]]:
        """The partitions of commits that are gone or were changed, by version, and have not been written again since.

        Args:
            version: the table's newest version, -1 if it has none.
        """
        commits, lost = self._read()
        for commit in commits:
            if self._is_gone(commit, version):
                lost[commit.version] = lost.get(commit.version, frozenset()) | commit.partitions
        return lost

    def add(self, version: int, partitions: Iterable[Partition], *, whole: bool) -> None:
        """Sync a commit to disk and note it.

        Args:
            version: the commit's.
            partitions: those that it changed.
            whole: it wrote them anew, so that losses of earlier commits in them are made good.
        """
        try:
            self._add(version, frozenset(partitions), whole=whole)
        except FileNotFoundError:  # nothing was written, and a checkpoint has taken the place of the commit before
            return
        except OSError as error:
            raise LakeError.refused(self.path, error) from error

    def _add(self, version: int, changed: frozenset[Partition], *, whole: bool) -> None:
        file = self._file(version)
        content = file.read_bytes()
        commits, _ = self._read()
        # If nothing was written, the files of the commit before are not summed again: they may be damaged by now.
        self._sync(file, content, summed=any(one.version == version for one in commits))
        gone = lost = self.lost(version - 1)
        if whole:
            lost = {number: left for number, rows in gone.items() if (left := rows - changed)}
        note = Commit(version, len(content), hashlib.sha256(content).hexdigest(), changed)
        earlier = [one for one in commits if one.version < version and one.version not in gone]
        self._write([*earlier[1 - _KEPT :], note], lost)

    def error(self, lost: dict[int, frozenset[Partition]]) -> LakeDamageError:
        """The error about commits that no command makes again.

        Args:
            lost: of `lost`.
        """
        partitions = in_order(partition for changed in lost.values() for partition in changed)
        some = ", ".join(f"{date} subject {subject}" for date, subject in partitions[:3])
        more = f" and {len(partitions) - 3} more subject-days" if len(partitions) > 3 else ""
        return LakeDamageError(
            where=str(self._table),
            expected=f"all commits that were made, such as version {min(lost)}",
            got=f"a log without {len(lost)} of them, which changed {some}{more}",
            remedy=f"Restore {self._table.name} from a backup; or go on with what is left: `har check --accept`.",
        )

    def forget(self) -> None:
        """Take the table as it is."""
        self.path.unlink(missing_ok=True)

    def _is_gone(self, commit: Commit, version: int) -> bool:
        if commit.version > version:
            return True
        try:
            file = self._file(commit.version)
            if file.stat().st_size != commit.size:
                return True
            # The content of the newest one only: older ones had time to reach the disk.
            return commit.version == version and hashlib.sha256(file.read_bytes()).hexdigest() != commit.sha256
        except FileNotFoundError:
            return False  # a checkpoint has taken its place, or the table could not be opened

    def _file(self, version: int) -> Path:
        return self._table / "_delta_log" / f"{version:020}.json"

    def _sync(self, file: Path, content: bytes, *, summed: bool) -> None:
        names = [action["add"]["path"] for line in content.splitlines() if "add" in (action := json.loads(line))]
        added = [self._table / unquote(name) for name in names]
        if not summed:
            self.sums.add(added)
        for path in (*added, file, file.parent):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _read(self) -> tuple[list[Commit], dict[int, frozenset[Partition]]]:
        """The record; it is parsed again only after a change, as a commit of all partitions makes it large."""
        try:
            stamp = identity(self.path)
            if self._last_read is None or self._last_read[0] != stamp:
                self._last_read = (stamp, *self._parse(self.path.read_bytes()))
        except FileNotFoundError:
            return [], {}
        _, commits, lost = self._last_read
        return commits, dict(lost)

    def _parse(self, content: bytes) -> tuple[list[Commit], dict[int, frozenset[Partition]]]:
        try:
            record: dict[str, Any] = json.loads(content)
            commits = [
                Commit(one["version"], one["size"], one["sha256"], _partitions(one["partitions"]))
                for one in record["commits"]
            ]
            return commits, {int(version): _partitions(rows) for version, rows in record["lost"].items()}
        except (ValueError, KeyError, TypeError) as error:
            raise LakeDamageError(
                where=str(self.path),
                expected="the record of the table's commits",
                got=reason(error),
                remedy="Delete the file, then run `har check`: the next write begins a new record.",
            ) from error

    def _write(self, commits: Iterable[Commit], lost: dict[int, frozenset[Partition]]) -> None:
        record = {
            "format": _FORMAT,
            "commits": [{**vars(one), "partitions": _rows(one.partitions)} for one in commits],
            "lost": {str(version): _rows(partitions) for version, partitions in lost.items()},
        }
        write_atomically(self.path, json.dumps(record))


def _rows(partitions: Iterable[Partition]) -> list[tuple[str, str]]:
    return [(date.isoformat(), subject) for date, subject in in_order(partitions)]


def _partitions(rows: Iterable[tuple[str, str]]) -> frozenset[Partition]:
    return frozenset((dt.date.fromisoformat(date), subject) for date, subject in rows)
