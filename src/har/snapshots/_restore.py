"""Bring a folder back to what a snapshot holds: no byte that is in no snapshot is overwritten or deleted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from har.errors import SnapshotError, StorageError
from har.files import make_folder, replacing
from har.recordings import shown
from har.snapshots._folders import Folder, is_link, present
from har.snapshots._known import Known
from har.snapshots._objects import Kept, NotPlainError, Objects, Stamp, digests, opened, stamp

_LISTED = 10


@dataclass(frozen=True)
class Restored:
    """What `restore` did: files written, deleted, and there already."""

    commit: str
    written: int
    deleted: int
    same: int


@dataclass
class Plan:
    """What has to be done in a folder.

    Attributes:
        folder: which.
        write: path to MD5.
        delete: paths.
        stamps: of the files that will be overwritten or deleted, as they were when they were compared.
        same: number of files that are as they should be.
        unsaved: paths of files that are in no snapshot, and of entries in the way: they forbid the restoring.
    """

    folder: Folder
    write: dict[str, str] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    same: int = 0
    unsaved: list[str] = field(default_factory=list)


def plan(
    folder: Folder,
    target: Mapping[str, str],
    known: Known,
    saved: Callable[[Mapping[str, str]], set[str]],
) -> Plan:
    """Compare a folder with what it shall hold; nothing is changed.

    Args:
        folder: which.
        target: path to MD5.
        known: hashes of files that were read before.
        saved: which of these files (path to MD5) are in a snapshot.
    """
    made = Plan(folder)
    files, strange = present(folder)
    others: dict[str, str] = {}
    for relative, path in files.items():
        kept = _hashes(f"{folder.name}/{relative}", path, known)
        if kept is None:  # gone, or no file any more
            continue
        if target.get(relative) == kept.md5:
            made.same += 1
            continue
        others[relative] = kept.md5
        made.stamps[relative] = kept.stamp
        if relative not in target:
            made.delete.append(relative)
    kept_safe = saved(others)
    made.unsaved = [shown(folder.path / relative, folder.path) for relative in others if relative not in kept_safe]
    made.write = {relative: md5 for relative, md5 in target.items() if relative not in files or relative in made.stamps}
    wanted = {relative for path in made.write for relative in (path, *map(str, Path(path).parents))}
    made.unsaved += [shown(folder.path / relative, folder.path) for relative in strange if relative in wanted]
    made.unsaved += [
        shown(folder.path / relative, folder.path)
        for relative in made.write
        if relative not in files and relative not in strange and os.path.lexists(folder.path / relative)
    ]
    return made


def require_saved(plans: list[Plan], commit: str) -> None:
    """Refuse to go on where something would be lost.

    Raises:
        SnapshotError: it names the first files.
    """
    unsaved = [f"{one.folder.output}/{name}" for one in plans for name in one.unsaved]
    if unsaved:
        more = f" and {len(unsaved) - _LISTED} more" if len(unsaved) > _LISTED else ""
        raise SnapshotError(
            where=f"har data restore {commit[:12]}",
            expected="only files that are in a snapshot, as they would be overwritten or deleted",
            got=f"{len(unsaved)} that are in none: {', '.join(unsaved[:_LISTED])}{more}",
            remedy="Nothing was changed. Take a snapshot of them first (har data snapshot -m WHY), or move them out of "
            "the folder.",
        )


def carry_out(made: Plan, objects: Objects) -> None:
    """Write and delete as planned; a file that has changed since it was compared is not touched.

    Raises:
        SnapshotError: one has; what was done so far stays, and the same restore goes on from there.
        StorageError: the disk refuses.
    """
    base = made.folder.path
    for relative, md5 in made.write.items():
        target = base / relative
        if (link := is_link(target, base)) is not None:
            raise _changed(made.folder, relative, f"{link.got} in its place")
        make_folder(target.parent)
        try:
            with replacing(target) as draft:
                objects.copy(md5, draft)
                _require_unchanged(made, relative)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError.refused(target, error) from error
    for relative in made.delete:
        _require_unchanged(made, relative)
        (base / relative).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other files are in it
            for parent in (base / relative).parents:
                if parent == base:
                    break
                parent.rmdir()


def _hashes(key: str, path: Path, known: Known) -> Kept | None:
    try:
        kept = known.find(key, path.lstat())
        if kept is None:
            with opened(path) as stream:
                before = os.fstat(stream.fileno())
                kept = Kept(*digests(stream), stamp(before))
            known.add(key, kept)
    except (FileNotFoundError, NotPlainError):
        return None
    return kept


def _require_unchanged(made: Plan, relative: str) -> None:
    path = made.folder.path / relative
    try:
        now: Stamp | None = stamp(path.lstat())
    except FileNotFoundError:
        now = None
    if now is not None and now != made.stamps.get(relative):
        raise _changed(made.folder, relative, "other content than a moment ago")


def _changed(folder: Folder, relative: str, got: str) -> SnapshotError:
    return SnapshotError(
        where=f"{folder.output}/{relative}",
        expected="the file as it was compared with the snapshot",
        got=got,
        remedy="It was left as it is. Run the same command again once nothing writes to the folder.",
    )
