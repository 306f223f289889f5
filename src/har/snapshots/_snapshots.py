"""Take, list and restore snapshots, and compare one with what the lake was made from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from har.errors import SnapshotError
from har.files import locked, make_folder, write_atomically
from har.lake import Lake
from har.settings import Settings
from har.snapshots._coverage import Coverage, compare
from har.snapshots._dvc import Dvc, cache_of, require_remote
from har.snapshots._folders import INBOX, LABELS, Content, Folder, folders_of, read
from har.snapshots._git import Repository
from har.snapshots._known import Known
from har.snapshots._labels import write_table
from har.snapshots._objects import Objects
from har.snapshots._pointer import Pointer
from har.snapshots._restore import Restored, carry_out, plan, require_saved
from har.snapshots._results import Snapshot, Taken
from har.snapshots._setup import SETUP, ignore_patterns, require_ignored, require_no_secrets

SUBJECT = "Snapshot: "
"""Begins the subject of a snapshot's commit."""
WAIT_S = 600.0
"""How long one snapshot waits for another."""


class Snapshots:
    """The snapshots of a project."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.root.resolve()

    def at(self, recorded: Mapping[str, Any]) -> Snapshots:
        """The same with the folders as recorded settings name them, in which pointers may have another place."""
        paths = {name: Path(path) for name, path in recorded.get("paths", {}).items() if name in (INBOX, LABELS)}
        return Snapshots(self._settings.model_copy(update={"paths": self._settings.paths.model_copy(update=paths)}))

    def take(self, why: str, *, who: str, lake: Lake | None = None, empty: bool = False) -> Taken:
        """Copy what is new into DVC's cache, send it to the remote, and commit the pointers.

        A run that is killed leaves no commit; the next one goes on from what was copied and sent.

        Args:
            why: the reason, for the history.
            who: the author where git has no identity, such as `anna@lab`.
            lake: its table of labels becomes a file beside the label files; None: the file stays as it is.
            empty: accept that the inbox is empty though the last snapshot had files.

        Raises:
            SnapshotError: no git repository, no DVC, nothing to take, a remote that cannot be reached, another run.
            StorageError: a disk is full or refuses.
            LakeError: the inbox or the table of labels cannot be read.
        """
        why = " ".join(why.split())
        if not why:
            raise SnapshotError(
                where="har data snapshot", expected="a reason", got="none", remedy='Give one: -m "before the move".'
            )
        repository = Repository(self._root)
        folders = folders_of(self._settings)
        with self._locked(repository):
            repository.require_a_commit()
            require_ignored(repository, folders, self._root)
            require_no_secrets(self._root)
            dvc = Dvc(self._root, self._settings.service)
            dvc.set_up(repository.top.parent / f"{repository.top.name}-dvc")
            ignore_patterns(self._root, folders)
            config = dvc.config()
            before = self._pointers(repository, "HEAD")
            require_remote(config, before.get(INBOX))
            if lake is not None:
                write_table(lake, self._settings.path("labels"))
            objects = self._objects(config)
            objects.sweep()
            known = self._known()
            contents = {folder.name: read(folder, known, objects) for folder in folders}
            known.save()
            _require_content(contents, before, folders, empty=empty)
            pointers = {
                folder.name: Pointer(
                    objects.keep_list(contents[folder.name].files),
                    len(contents[folder.name].files),
                    contents[folder.name].size,
                    folder.output.name,
                )
                for folder in folders
                if contents[folder.name].files or folder.name in before or folder.name == INBOX
            }
            if pointers != before:
                repository.require_a_branch()
                os.sync()  # what a commit names shall outlast a power failure
            dvc.push(pointers, config)
            added, removed = _difference(contents, before, objects)
            note = self._commit(repository, pointers, _message(why, pointers, added, removed), who)
            return Taken(
                snapshot=self._history(repository)[0],
                new=pointers != before,
                added=added,
                removed=removed,
                left_out={
                    f"{folder.output}/{path}": cause
                    for folder in folders
                    for path, cause in contents[folder.name].left_out.items()
                },
                unfinished=tuple(name for content in contents.values() for name in content.unfinished),
                notes=(note,) if note else (),
            )

    def history(self) -> list[Snapshot]:
        """The snapshots of the current branch, newest first; needs no DVC.

        Raises:
            SnapshotError: no git repository, or a pointer that cannot be read.
        """
        return self._history(Repository(self._root))

    def pointers(self, commit: str) -> dict[str, Pointer]:
        """The pointers of a commit by folder; none: it is older than the first snapshot.

        Raises:
            SnapshotError: no git repository, no such commit, or a pointer that cannot be read.
        """
        repository = Repository(self._root)
        return self._pointers(repository, repository.resolve(commit))

    def restore(self, commit: str) -> Restored:
        """Bring the folders back to what a commit's snapshot holds, byte by byte.

        DVC is needed only for files that are not in this machine's cache.

        Raises:
            SnapshotError: no snapshot at this commit; a file that is in none would be overwritten or deleted, or is in
                the way; the remote cannot be reached.
            StorageError: a disk is full or refuses.
        """
        repository = Repository(self._root)
        folders = folders_of(self._settings)
        with self._locked(repository):
            full = repository.resolve(commit)
            pointers = self._pointers(repository, full)
            if INBOX not in pointers:
                raise SnapshotError(
                    where=f"commit {commit}",
                    expected="a commit with a snapshot",
                    got="one without pointers: it is older than the first snapshot",
                    remedy="`har data list` shows the snapshots.",
                )
            objects, known = self._fetched(pointers), self._known()
            plans = [
                plan(
                    folder,
                    objects.files(pointers[folder.name].oid),
                    known,
                    partial(self._saved, repository, objects, folder.name),
                )
                for folder in folders
                if folder.name in pointers
            ]
            known.save()
            require_saved(plans, full)
            for one in plans:
                make_folder(one.folder.path)
                carry_out(one, objects)
            for folder in folders:
                if folder.name in pointers:
                    write_atomically(self._root / folder.pointer, pointers[folder.name].text())
        return Restored(
            full,
            written=sum(len(one.write) for one in plans),
            deleted=sum(len(one.delete) for one in plans),
            same=sum(one.same for one in plans),
        )

    def copy(self, pointer: Pointer, target: Path, *, only: Mapping[str, str] | None = None) -> int:
        """Copy a folder as a snapshot has it to `target`, which is made; returns the number of files.

        Args:
            pointer: which.
            target: an empty or absent folder.
            only: these files alone, by path; with the SHA-256 that each must have.

        Raises:
            SnapshotError: the remote cannot be reached, or the snapshot lacks a file or has it with other bytes.
            StorageError: a disk is full or refuses.
        """
        objects = self._fetched({INBOX: pointer})
        files = objects.files(pointer.oid)
        absent = sorted(set(only or ()) - set(files))
        if absent:
            raise _differs(pointer, f"none of the name {absent[0]}")
        for relative, md5 in files.items():
            if only is not None and relative not in only:
                continue
            make_folder((target / relative).parent)
            sha256 = objects.copy(md5, target / relative)
            if only is not None and only[relative] not in ("", sha256):
                raise _differs(pointer, f"{relative} with the SHA-256 {sha256[:12]}…, not {only[relative][:12]}…")
        return len(files if only is None else only)

    def coverage(self, commit: str, files: Mapping[str, str], labels: pl.DataFrame | None) -> Coverage:
        """Whether the snapshot of a commit holds what a lake was made from; needs no DVC.

        Args:
            commit: "": there is none.
            files: recordings by path below the inbox, with their SHA-256.
            labels: rows of the table of labels; None: there is no table.
        """
        if not commit:
            return Coverage({}, "no git commit, so no snapshot")
        repository = Repository(self._root)
        pointers = self._pointers(repository, commit)
        if INBOX not in pointers:
            return Coverage({}, "no snapshot was taken")
        config = {} if not is_cache_elsewhere(self._root) else Dvc(self._root, self._settings.service).config()
        return compare(pointers, files, labels, self._objects(config), self._known())

    def _commit(self, repository: Repository, pointers: Mapping[str, Pointer], message: str, who: str) -> str:
        """Commit the pointers, and DVC's configuration if that is new; returns why git's index lags, or ""."""
        paths = {folder.name: folder.pointer for folder in folders_of(self._settings)}
        files = {paths[name]: pointer.text() for name, pointer in pointers.items()}
        tracked = repository.show("HEAD", SETUP)
        setup = {path: (self._root / path).read_text(encoding="utf-8") for path in SETUP if path not in tracked}
        for path, text in files.items():
            make_folder((self._root / path).parent)
            write_atomically(self._root / path, text)
        repository.commit({**files, **setup}, message, who=who)
        # A run that was killed right after its commit left an index without what that commit brought.
        fault = repository.refresh([*files, *repository.not_in_index(SETUP)])
        named = " ".join(map(str, files))
        return f"git's index does not show the snapshot yet ({fault}): git reset -- {named}" if fault else ""

    def _history(self, repository: Repository, *, everywhere: bool = False) -> list[Snapshot]:
        folders = folders_of(self._settings)
        paths = [folder.pointer for folder in folders]
        commits = repository.log(paths, everywhere=everywhere)
        texts = repository.show_all([commit.hash for commit in commits], paths)
        return [
            Snapshot(commit.hash, commit.date, commit.subject.removeprefix(SUBJECT), pointers)
            for commit in commits
            if (pointers := _parsed(folders, texts.get(commit.hash, {}), commit.hash))
        ]

    def _pointers(self, repository: Repository, commit: str) -> dict[str, Pointer]:
        folders = folders_of(self._settings)
        return _parsed(folders, repository.show(commit, [folder.pointer for folder in folders]), commit)

    def _fetched(self, pointers: Mapping[str, Pointer]) -> Objects:
        """The cache, with everything that the pointers name; what is missing comes from the remote."""
        config: dict[str, str] = {}
        if is_cache_elsewhere(self._root):
            config = Dvc(self._root, self._settings.service).config()
        objects = self._objects(config)
        if any(_missing(objects, pointer) for pointer in pointers.values()):
            dvc = Dvc(self._root, self._settings.service)
            dvc.fetch(pointers, config or dvc.config())
        return objects

    def _saved(self, repository: Repository, objects: Objects, name: str, files: Mapping[str, str]) -> set[str]:
        """Those of the files that a snapshot of any branch has under the same name, as far as its list is here."""
        found: set[str] = set()
        seen: set[str] = set()
        for snapshot in self._history(repository, everywhere=True):
            if found >= set(files):
                break
            pointer = snapshot.pointers.get(name)
            if pointer is None or pointer.oid in seen or not objects.holds(pointer.oid):
                continue
            seen.add(pointer.oid)
            held = objects.files(pointer.oid)
            found |= {path for path, md5 in files.items() if held.get(path) == md5}
        return found

    def _objects(self, config: Mapping[str, str]) -> Objects:
        return Objects(cache_of(self._root, config))

    def _known(self) -> Known:
        return Known(self._root / ".dvc" / "tmp" / "har-hashes.json")

    @contextmanager
    def _locked(self, repository: Repository) -> Iterator[None]:
        busy = SnapshotError(
            where=str(self._root),
            expected="no other snapshot or restore at work",
            got=f"one that has not ended for {WAIT_S:g} s",
            remedy="Wait for it, or stop it, then run the same command again.",
        )
        with locked(repository.path("har-snapshot.lock"), timeout_s=WAIT_S, busy=busy):
            yield


def is_cache_elsewhere(root: Path) -> bool:
    """Whether DVC's configuration may name another folder for the cache."""
    for name in ("config", "config.local"):
        path = root / ".dvc" / name
        if path.is_file() and "[cache]" in path.read_text(encoding="utf-8", errors="replace"):
            return True
    return False


def _parsed(folders: Collection[Folder], texts: Mapping[PurePosixPath, str], commit: str) -> dict[str, Pointer]:
    return {
        folder.name: Pointer.parse(texts[folder.pointer], f"{folder.pointer} of commit {commit[:12]}")
        for folder in folders
        if folder.pointer in texts
    }


def _missing(objects: Objects, pointer: Pointer) -> bool:
    if not objects.holds(pointer.oid):
        return True
    return not all(objects.holds(md5) for md5 in set(objects.files(pointer.oid).values()))


def _require_content(
    contents: Mapping[str, Content], before: Mapping[str, Pointer], folders: Collection[Folder], *, empty: bool
) -> None:
    inbox = next(folder.path for folder in folders if folder.name == INBOX)
    if contents[INBOX].files or empty:
        return
    had = before[INBOX].files if INBOX in before else 0
    if had:
        raise SnapshotError(
            where=str(inbox),
            expected=f"recordings: the last snapshot has {had} files",
            got="an empty folder" if inbox.is_dir() else "no folder",
            remedy="Mount the disk, or bring them back: har data restore HEAD. If they are to be gone: "
            "har data snapshot --empty.",
        )
    if INBOX not in before and not contents[LABELS].files:
        raise SnapshotError(
            where=str(inbox),
            expected="recordings to take a snapshot of",
            got="an empty folder" if inbox.is_dir() else "no folder",
            remedy="Put recordings into the inbox first; `har replay` provides sample recordings.",
        )


def _difference(contents: Mapping[str, Content], before: Mapping[str, Pointer], objects: Objects) -> tuple[int, int]:
    """Files that are new or have other content, and files that are gone; all are new if the last list is not here."""
    added = removed = 0
    for name, content in contents.items():
        pointer = before.get(name)
        old = objects.files(pointer.oid) if pointer is not None and objects.holds(pointer.oid) else {}
        added += len(content.files.items() - old.items())
        removed += len(old.keys() - content.files.keys())
    return added, removed


def _message(why: str, pointers: Mapping[str, Pointer], added: int, removed: int) -> str:
    held = [f"{name}: {one.files} files, {one.size} bytes, {one.oid}" for name, one in pointers.items()]
    return "\n".join([f"{SUBJECT}{why}", "", f"{added} files are new, {removed} are gone.", "", *held, ""])


def _differs(pointer: Pointer, got: str) -> SnapshotError:
    return SnapshotError(
        where=f"snapshot {pointer.oid[:12]}…",
        expected="the files that the model was trained on",
        got=got,
        remedy="The registry and the git history are not of the same project: look for the clone that trained it.",
    )
