"""The folders that snapshots hold: which files of them count, and which entries are left out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from har.console import track
from har.errors import OddEntryError, SnapshotError, StorageError, reason
from har.recordings import inbox_entries, odd, shown
from har.settings import Settings
from har.snapshots._known import Known
from har.snapshots._objects import NotPlainError, Objects

INBOX, LABELS = "inbox", "labels"


@dataclass(frozen=True)
class Folder:
    """One folder under DVC.

    Attributes:
        name: `inbox` or `labels`.
        path: where it is, absolute; the folder itself may be a link.
        pointer: its pointer, relative to the project's folder.
        apart: a folder below it that is none of its content: a quarantine.
    """

    name: str
    path: Path
    pointer: PurePosixPath
    apart: Path | None = None

    @property
    def output(self) -> PurePosixPath:
        """The folder as DVC sees it: beside its pointer."""
        return self.pointer.with_suffix("")


@dataclass
class Content:
    """What a folder holds.

    Attributes:
        files: path below the folder (with `/`) to MD5; all are in the cache.
        size: bytes of them.
        left_out: entries that are no files, or cannot be read: path and reason.
        unfinished: files that changed while they were read; they wait for the next snapshot.
    """

    files: dict[str, str] = field(default_factory=dict)
    size: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


def folders_of(settings: Settings) -> tuple[Folder, Folder]:
    """The project's inbox and its label files.

    Raises:
        SnapshotError: one is inside the other.
    """
    inbox = _folder(settings, INBOX, settings.path("quarantine"))
    labels = _folder(settings, LABELS, None)
    if inbox.path == labels.path or inbox.path in labels.path.parents or labels.path in inbox.path.parents:
        raise SnapshotError(
            where="har.toml, paths.labels",
            expected="a folder beside paths.inbox",
            got=f"{labels.path}, and the inbox is {inbox.path}",
            remedy='Name another one, such as labels = "data/labels".',
        )
    return inbox, labels


def read(folder: Folder, known: Known, objects: Objects) -> Content:
    """Bring the folder's files into the cache; those that are there, and have not changed, are not read."""
    content = Content()
    entries = [
        (path, fault)
        for path, fault in inbox_entries(folder.path)
        if folder.apart is None or folder.apart not in path.parents
    ]
    for path, fault in track(entries, f"Reading {folder.name}", total=len(entries), unit="files"):
        if fault is not None:
            content.left_out[shown(path, folder.path)] = f"{fault.got}"
            continue
        relative = path.relative_to(folder.path).as_posix()
        try:
            _read(folder, path, relative, known, objects, content)
        except FileNotFoundError:  # gone since it was listed: to quarantine, or renamed
            continue
        except BlockingIOError:
            content.unfinished.append(relative)
        except NotPlainError:
            content.left_out[shown(path, folder.path)] = "no plain file"
        except StorageError:
            raise
        except OSError as error:
            content.left_out[shown(path, folder.path)] = reason(error)
    known.keep_only(f"{folder.name}/", content.files.keys())
    return content


def _read(folder: Folder, path: Path, relative: str, known: Known, objects: Objects, content: Content) -> None:
    key = f"{folder.name}/{relative}"
    kept = known.find(key, path.lstat())
    if kept is None or not objects.holds(kept.md5, kept.size):
        # The folders above were listed as folders; one that has become a link since would lead elsewhere.
        if path.parent.resolve() != folder.path.resolve() / PurePosixPath(relative).parent:
            raise NotPlainError(str(path))
        kept = objects.keep(path)
        known.add(key, kept)
    content.files[relative] = kept.md5
    content.size += kept.size


def present(folder: Folder) -> tuple[dict[str, Path], dict[str, OddEntryError]]:
    """The folder's files and odd entries by their paths below it; nothing is opened."""
    files: dict[str, Path] = {}
    strange: dict[str, OddEntryError] = {}
    for path, fault in inbox_entries(folder.path):
        if folder.apart is not None and folder.apart in path.parents:
            continue
        relative = os.fspath(path.relative_to(folder.path))
        if fault is None:
            files[relative] = path
        else:
            strange[relative] = fault
    return files, strange


def is_link(path: Path, below: Path) -> OddEntryError | None:
    """The reason not to write `path`: it, or a folder on the way from `below`, is a link."""
    for entry in (path, *path.parents):
        if entry == below:
            return None
        if entry.is_symlink():
            return odd(entry, below, "a symbolic link")
    return None


def _folder(settings: Settings, name: str, apart: Path | None) -> Folder:
    relative = Path(os.path.normpath(getattr(settings.paths, name)))
    inside = not relative.is_absolute() and relative.parts[:1] not in ((), ("..",))
    # A folder elsewhere, such as on another disk, has its pointer where the default folder would have it, or else in
    # the project's own folder: git has no files beyond a link.
    places = [*([PurePosixPath(relative.as_posix())] if inside else []), PurePosixPath("data") / name]
    output = next((place for place in places if not _is_beyond_a_link(settings.root, place)), PurePosixPath(name))
    return Folder(name, settings.path(name), output.with_name(f"{output.name}.dvc"), apart)


def _is_beyond_a_link(root: Path, path: PurePosixPath) -> bool:
    return any((root / parent).is_symlink() for parent in path.parents if parent.name)
