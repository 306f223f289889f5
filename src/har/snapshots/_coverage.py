"""Whether a snapshot holds the files that a lake was made from, each with the same bytes, and its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from har.files import file_sha256
from har.snapshots._folders import INBOX, LABELS
from har.snapshots._known import Known
from har.snapshots._labels import TABLE, ordered
from har.snapshots._objects import Objects
from har.snapshots._pointer import Pointer


@dataclass(frozen=True)
class Coverage:
    """The snapshot's hashes by folder, if it holds everything; otherwise none, and what it lacks, in words."""

    hashes: dict[str, str]
    lacks: str = ""


def compare(
    pointers: Mapping[str, Pointer],
    files: Mapping[str, str],
    labels: pl.DataFrame | None,
    objects: Objects,
    known: Known,
) -> Coverage:
    """Compare a snapshot with a lake's files (path to SHA-256) and labels; the snapshot may hold more files."""
    lists: dict[str, dict[str, str]] = {}
    for name, pointer in pointers.items():
        if not objects.holds(pointer.oid):
            return Coverage({}, "the snapshot's list of files is not in this machine's cache (dvc fetch)")
        lists[name] = objects.files(pointer.oid)
    held = lists[INBOX]
    absent = [path for path in files if path not in held]
    if absent:
        return Coverage({}, f"{_named(absent)} of the lake in no snapshot")
    unknown = [path for path in files if _sha256(held[path], objects, known) is None]
    if unknown:
        return Coverage({}, f"{_named(unknown)} not in this machine's cache to compare with (dvc fetch)")
    other = [path for path, sha256 in files.items() if _sha256(held[path], objects, known) != sha256]
    if other:
        return Coverage({}, f"{_named(other)} with other bytes in the snapshot than in the lake")
    if labels is not None and len(labels):
        table = lists.get(LABELS, {}).get(TABLE)
        if table is None or not objects.holds(table) or not _same(objects.path(table), labels):
            return Coverage({}, "labels that are in no snapshot")
    return Coverage({name: pointer.oid for name, pointer in pointers.items()})


def _sha256(md5: str, objects: Objects, known: Known) -> str | None:
    found = known.sha256(md5)
    if found is None and objects.holds(md5):
        found = file_sha256(objects.path(md5))
        known.learn(md5, found)
    return found


def _same(path: Path, labels: pl.DataFrame) -> bool:
    table = pl.read_parquet(path, hive_partitioning=False, glob=False)
    return table.columns == labels.columns and table.equals(ordered(labels))


def _named(paths: list[str]) -> str:
    first = ", ".join(sorted(paths)[:3])
    return f"{len(paths)} files ({first}{', …' if len(paths) > 3 else ''})" if len(paths) > 1 else first
