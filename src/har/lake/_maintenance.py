"""The tables' upkeep: a checkpoint of the log, and the removal of files that no version still to be read needs.

Work is due after so many commits, so a run has little to do however long the history is. Readers are never in the way:
a file stays for days after the version that replaced it, and a checkpoint only repeats what the log says.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from har.errors import LakeError
from har.lake._committing import KEEP_LOG
from har.lake._lake import Lake
from har.lake._table import Table

_COMMIT = re.compile(r"\d{20}\.json")


@dataclass(frozen=True)
class Maintained:
    """What was done for a table: the version of its new checkpoint, and how many files were removed."""

    table: str
    version: int
    removed: int


def maintain(
    lake: Lake, *, every: int, keep_days: int, kept: Callable[[], Mapping[str, Collection[int]]], now: bool = False
) -> list[Maintained]:
    """Do what is due for each table.

    Args:
        lake: the tables.
        every: commits between two checkpoints of a table's log.
        keep_days: files stay for so long after the version that replaced them.
        kept: says, where work is due, by table the versions whose files stay for ever, such as those that models were
            trained on.
        now: do it for every table, due or not, and remove old files that no commit ever named, too, such as those of
            writers that were killed: each table is listed for that.

    Returns:
        What was done.

    Raises:
        LakeError: the disk or the store refuses.
    """
    due = [one for one in lake.tables if _commits_since_checkpoint(one) >= every or (now and one.version() >= 0)]
    if not due:
        return []
    needed = kept()
    return [_maintain(table, keep_days, needed.get(table.name, ()), full=now) for table in due]


def _maintain(table: Table, keep_days: int, kept: Collection[int], *, full: bool) -> Maintained:
    def work(opened: DeltaTable) -> int:
        present = sorted(version for version in kept if _opens(table, version))
        removed = opened.vacuum(
            keep_days * 24,
            dry_run=False,
            enforce_retention_duration=False,
            full=full,
            keep_versions=present or None,
            post_commithook_properties=KEEP_LOG,
        )
        opened.create_checkpoint()
        if not kept:  # the log of versions that models were trained on must stay readable
            opened.cleanup_metadata()
        return len(removed)

    removed = table.tend(work)
    return Maintained(table.name, table.version(), removed)


def _opens(table: Table, version: int) -> bool:
    """Whether a version can still be read; one whose log is gone has nothing to keep."""
    with contextlib.suppress(LakeError):
        return table.partitions(version) is not None
    return False


def _commits_since_checkpoint(table: Table) -> int:
    """Their number, by the names in the log: most tables need no work, and are not opened for it."""
    names = (entry.name for entry in (table.where / "_delta_log").list(after=f"{_checkpoint(table):020}.json"))
    return sum(1 for name in names if _COMMIT.fullmatch(name))


def _checkpoint(table: Table) -> int:
    """The version of the newest checkpoint; -1: there is none, or nobody knows."""
    hint = table.where / "_delta_log" / "_last_checkpoint"
    try:
        return int(json.loads(hint.read_bytes())["version"])
    except (OSError, DeltaError, ValueError, KeyError):
        return -1
