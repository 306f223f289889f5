"""A backup as one file: a tar archive whose last member is the list of all others with their sizes and SHA-256.

Without the list, the file is not whole. Nothing in it is executed or unpickled, and no member leads outside of the
folder that it is unpacked into.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from har.errors import BackupError, HarError, StorageError, reason
from har.files import replacing
from har.storage import Location

_LIST = "backup.json"
_FORMAT = 1
_BLOCK = 1 << 20
_LARGEST_LIST = 1 << 30


@dataclass(frozen=True)
class Contents:
    """What a backup says about itself.

    Attributes:
        project: the project's name.
        made_at: UTC, ISO 8601.
        notes: what is not in it, in words.
        files: size and SHA-256 by name; a name is `<part>/<path below it>`.
    """

    project: str
    made_at: str
    notes: tuple[str, ...] = ()
    files: dict[str, tuple[int, str]] = field(default_factory=dict)

    def parts(self) -> dict[str, tuple[int, int]]:
        """Number of files and bytes by part, in the order of the archive."""
        found: dict[str, tuple[int, int]] = {}
        for name, (size, _) in self.files.items():
            part = name.partition("/")[0]
            count, total = found.get(part, (0, 0))
            found[part] = count + 1, total + size
        return found


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Hashed:
    """Reads at most `size` bytes of a stream, and hashes them."""

    def __init__(self, stream: _Readable, size: int) -> None:
        self._stream, self._left = stream, size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(block)
        self.digest.update(block)
        return block


@dataclass(frozen=True)
class Stored:
    """A file on object storage, of a known size.

    Attributes:
        place: the file's.
        size: bytes.
        modified: seconds since 1970.
    """

    place: Location
    size: int
    modified: float


class _Blocks:
    """Reads blocks that somebody else makes, as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._left = blocks, b""

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""
        parts, count = [self._left], len(self._left)
        while count < size and (block := next(self._blocks, b"")):
            parts.append(block)
            count += len(block)
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]


def write_archive(target: Path, contents: Contents, entries: Iterable[tuple[str, Path | Stored]]) -> Contents:
    """Write a backup; it appears under its name once it is complete and synced to disk. Only its owner can read it.

    Args:
        target: the file.
        contents: project, time and notes.
        entries: names and files; files that are gone by now are left out.

    Raises:
        BackupError: a file became shorter while it was read.
        StorageError: the disk refuses.
    """
    try:
        return _write(target, contents, entries)
    except HarError:
        raise
    except OSError as error:
        raise StorageError.refused(Path(error.filename or target), error) from error


def _write(target: Path, contents: Contents, entries: Iterable[tuple[str, Path | Stored]]) -> Contents:
    files: dict[str, tuple[int, str]] = {}
    with replacing(target, private=True) as draft, tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, source in entries:
            with contextlib.suppress(FileNotFoundError):
                files[name] = _add(archive, name, source)
        complete = Contents(contents.project, contents.made_at, contents.notes, files)
        text = json.dumps({"format": _FORMAT, **vars(complete)}).encode()
        member = tarfile.TarInfo(_LIST)
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return complete


def _add(archive: tarfile.TarFile, name: str, source: Path | Stored) -> tuple[int, str]:
    """Add a file; its size and SHA-256."""
    with contextlib.ExitStack() as stack:
        stream: _Readable
        if isinstance(source, Stored):
            blocks = source.place.blocks()
            stream = _Blocks(itertools.chain([next(blocks, b"")], blocks))  # says here if it is gone
            member = tarfile.TarInfo(name)
            member.size, member.mtime = source.size, int(source.modified)
        else:
            opened = stack.enter_context(source.open("rb"))
            member = archive.gettarinfo(arcname=name, fileobj=opened)
            stream = opened
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        hashed = _Hashed(stream, member.size)
        try:
            archive.addfile(member, hashed)
        except OSError as error:
            if error.errno is not None or isinstance(error, HarError):
                raise
            raise BackupError(
                where=str(source.place if isinstance(source, Stored) else source),
                problem="became shorter while it was read",
                remedy="Run the same command again when nothing rewrites this file.",
            ) from error
    return member.size, hashed.digest.hexdigest()


def read_contents(path: Path) -> Contents:
    """Read a whole backup and compare every file with the list.

    Raises:
        BackupError: it is no backup, is not whole, or was changed; names the file in it.
    """
    found: dict[str, tuple[int, str]] = {}
    contents: Contents | None = None
    with _reading(path):
        for name, size, stream in _members(path):
            if contents is not None:
                raise _damaged(path, f"the file {name!r} after the list")
            if name == _LIST:
                if size > _LARGEST_LIST:
                    raise _damaged(path, f"a list of {size} bytes")
                contents = _parse(path, stream.read())
            else:
                found[name] = size, _sha256(stream)
    if contents is None:
        raise _damaged(path, "no list at its end: it is cut short, or no backup")
    for name in [*contents.files, *found]:
        if contents.files.get(name) != found.get(name):
            got = "absent" if name not in found else "in no list" if name not in contents.files else "changed"
            raise _damaged(path, f"the file {name!r}, which is {got}")
    return contents


def unpack(path: Path, contents: Contents, place: Callable[[str], Path | Location | None]) -> None:
    """Write the files of a backup, and compare each with the list once more.

    Args:
        path: the backup.
        contents: of `read_contents`.
        place: the new file, or the object, for a name; None: leave the file out.

    Raises:
        BackupError: a file in the backup is not what it was at `read_contents`.
        OSError: the disk or object storage refuses.
    """
    with _reading(path):
        for name, size, stream in _members(path):
            target = place(name) if name in contents.files else None
            if target is None:
                continue
            hashed = _Hashed(stream, size)
            blocks = iter(partial(hashed.read, _BLOCK), b"")
            if isinstance(target, Location):
                target.write_blocks(blocks)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    file.writelines(blocks)
            if (size, hashed.digest.hexdigest()) != contents.files[name]:
                raise _damaged(path, f"the file {name!r}, which changed while the backup was read")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(path, reason(error)) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BackupError(
            where=str(path), expected="a backup", got=reason(error), remedy="Name a file that `har backup` wrote."
        ) from error


def _members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            pure = PurePosixPath(member.name)
            if not member.isreg() or pure.is_absolute() or ".." in pure.parts or str(pure) != member.name:
                raise _damaged(path, f"the entry {member.name!r}, which is no plain file below the project")
            stream = archive.extractfile(member)
            assert stream is not None  # noqa: S101  it is a plain file
            yield member.name, member.size, stream


def _parse(path: Path, text: bytes) -> Contents:
    try:
        read: dict[str, Any] = json.loads(text)
        if read["format"] != _FORMAT:
            raise BackupError(
                where=str(path),
                expected=f"a backup of format {_FORMAT}",
                got=f"format {read['format']!r}",
                remedy="Restore it with the release that wrote it, then upgrade.",
            )
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in read["files"].items()}
        return Contents(str(read["project"]), str(read["made_at"]), tuple(map(str, read["notes"])), files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, "a list that cannot be read") from error


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _damaged(path: Path, got: str) -> BackupError:
    return BackupError(
        where=str(path),
        expected="a whole backup, unchanged since it was made",
        got=got,
        remedy="Copy it again from where it was kept, or take another backup.",
    )
