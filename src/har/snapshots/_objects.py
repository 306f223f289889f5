"""DVC's cache: files under the MD5 of their bytes, and lists of a folder's files, as DVC 3 stores them.

An object is written beside the others and renamed, so a killed process leaves no half one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from har.errors import SnapshotError, StorageError
from har.files import make_folder

_BLOCK = 1 << 20
_PROTECTED = 0o444
"""DVC takes an object of this mode as complete, and reads any other again."""

Stamp = tuple[int, int, int, int]
"""Size, times of change of content and of inode (ns), inode."""


class NotPlainError(OSError):
    """What is there is no file: a link, a pipe, a folder."""


@dataclass(frozen=True)
class Kept:
    """A file that is in the cache: hashes of its bytes, and its stamp when they were read."""

    md5: str
    sha256: str
    stamp: Stamp

    @property
    def size(self) -> int:
        """In bytes."""
        return self.stamp[0]


class Objects:
    """The objects below `cache`, DVC's folder of that name."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "files" / "md5"
        self._drafts = cache / "har-drafts"

    def path(self, oid: str) -> Path:
        """Where the object is, or would be."""
        return self._folder / oid[:2] / oid[2:]

    def holds(self, oid: str, size: int | None = None) -> bool:
        """Whether the object is there, with this size; None: with any."""
        try:
            found = self.path(oid).stat()
        except FileNotFoundError:
            return False
        return size is None or found.st_size == size

    def keep(self, path: Path) -> Kept:
        """Copy a file into the cache, in blocks; what the hash says is what was written.

        Raises:
            NotPlainError: it is no plain file.
            BlockingIOError: it changed while it was read.
            OSError: it cannot be read.
            StorageError: the cache cannot be written.
        """
        with opened(path) as source:
            before = os.fstat(source.fileno())
            with self._draft() as draft:
                md5, sha256 = _copy(source, draft)
                if stamp(before) != stamp(os.fstat(source.fileno())) or stamp(before) != stamp(path.lstat()):
                    raise BlockingIOError(f"{path} changed while it was read")
                self._settle(draft, md5, before.st_size)
        return Kept(md5, sha256, stamp(before))

    def keep_list(self, files: Mapping[str, str]) -> str:
        """Store the list of a folder's files, path to MD5; returns its name."""
        rows = [{"md5": files[path], "relpath": path} for path in sorted(files)]
        content = json.dumps(rows, sort_keys=True).encode()
        oid = f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir"
        with self._draft() as draft:
            try:
                draft.write_bytes(content)
            except OSError as error:
                raise StorageError.refused(draft, error) from error
            self._settle(draft, oid, len(content))
        return oid

    def files(self, oid: str) -> dict[str, str]:
        """A list that `keep_list` or DVC stored.

        Raises:
            SnapshotError: it is damaged.
            FileNotFoundError: the cache does not have it.
        """
        content = self.path(oid).read_bytes()
        if f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir" != oid:
            raise self._damaged(oid)
        return {str(row["relpath"]): str(row["md5"]) for row in json.loads(content)}

    def copy(self, oid: str, target: Path) -> str:
        """Copy an object to a file, and check its bytes; returns their SHA-256.

        Raises:
            SnapshotError: the object is damaged.
            OSError: the file cannot be written, or the cache does not have the object.
        """
        with self.path(oid).open("rb") as source:
            md5, sha256 = _copy(source, target)
        if md5 != oid:
            raise self._damaged(oid)
        return sha256

    def sweep(self) -> None:
        """Remove what killed runs left."""
        shutil.rmtree(self._drafts, ignore_errors=True)

    @contextlib.contextmanager
    def _draft(self) -> Iterator[Path]:
        make_folder(self._drafts)
        try:
            handle, name = tempfile.mkstemp(dir=self._drafts)
        except OSError as error:
            raise StorageError.refused(self._drafts, error) from error
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _settle(self, draft: Path, oid: str, size: int) -> None:
        if self.holds(oid, size):
            return
        make_folder(self.path(oid).parent)
        try:
            draft.chmod(_PROTECTED)
            draft.replace(self.path(oid))
        except OSError as error:
            raise StorageError.refused(self.path(oid), error) from error

    def _damaged(self, oid: str) -> SnapshotError:
        return SnapshotError(
            where=str(self.path(oid)),
            expected=f"bytes with the MD5 {oid}",
            got="others: the file is damaged",
            remedy="Delete it and run the same command again: it is fetched from the remote.",
        )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a plain file to read; links are not followed, and a pipe is not waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise NotPlainError(f"{path} is a link") from error
        raise
    with open(handle, "rb", buffering=0) as stream:  # noqa: PTH123  a descriptor
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotPlainError(f"{path} is no file")
        yield stream


def stamp(status: os.stat_result) -> Stamp:
    """What changes if the file does."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def digests(source: BinaryIO, take: Callable[[bytes], object] = len) -> tuple[str, str]:
    """The MD5 and the SHA-256 of a stream, which is read in blocks; `take` gets each of them."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    while block := source.read(_BLOCK):
        md5.update(block)
        sha256.update(block)
        take(block)
    return md5.hexdigest(), sha256.hexdigest()


def _copy(source: BinaryIO, target: Path) -> tuple[str, str]:
    """Copy in blocks; the MD5 and the SHA-256 of the bytes. What the disk of `target` refuses is a `StorageError`."""
    with _refusals_of(target):
        stream = target.open("wb", buffering=0)

    def write(block: bytes) -> None:
        with _refusals_of(target):
            rest = memoryview(block)
            while rest:
                rest = rest[stream.write(rest) :]

    try:
        found = digests(source, write)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            stream.close()
        raise
    with _refusals_of(target):
        stream.close()
    return found


@contextlib.contextmanager
def _refusals_of(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError.refused(target, error) from error
