"""Write, lock and hash files. A file is replaced in one step: readers see the old content or the new, never a part.

Who may read a file that is written here follows from the process's umask, as for any other file; `har.settings` narrows
it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from har.errors import StorageError

_PREFIX = "har-"
_OWNER = ".owner"
_umask = threading.Lock()


def write_atomically(path: Path, content: str | bytes, *, private: bool = False) -> Path:
    """Replace `path` by `content` in one step; folders are created as needed.

    Args:
        path: the file.
        content: of the file.
        private: only its owner can read it, whatever the umask says.

    Raises:
        StorageError: the disk refuses.
    """
    make_folder(path.parent)
    try:
        with replacing(path, private=private) as draft:
            draft.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise StorageError.refused(path, error) from error
    return path


def append_line(path: Path, content: str) -> None:
    """Append a line to a log and sync it to disk; a new file is readable by its owner alone.

    Half a line, which a process that was killed while it wrote has left, is ended first.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(file, "r+b", buffering=0) as stream:
        torn = stream.seek(0, os.SEEK_END) > 0 and os.pread(file, 1, stream.tell() - 1) != b"\n"
        stream.write((b"\n" if torn else b"") + content.encode() + b"\n")
        os.fsync(file)


def json_lines(path: Path) -> Iterator[Any]:
    """The values of a log with JSON in each line, oldest first; none if there is no file.

    A line that was cut off by a crash is left out.
    """
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def make_folder(path: Path) -> Path:
    """Create a folder and those above it as needed.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.refused(path, error) from error
    return path


@contextlib.contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary file beside `path`; when the block ends, it is synced to disk and renamed to `path`.

    If the block fails, `path` stays unchanged and the temporary file is removed. A `private` file can be read by its
    owner only, whatever the umask says.

    Raises:
        OSError: the folder of `path` does not exist or cannot be written, or the disk is full.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    draft = Path(name)
    try:
        try:
            yield draft
            os.fsync(handle)
        finally:
            os.close(handle)
        if not private:  # as it is made
            draft.chmod(_mode())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """A folder `har-<purpose>-…` in the system's folder for temporary files, removed when the block ends.

    A process that is killed leaves its folder; the next one with the same purpose and user removes it. A lock in the
    folder, which the system releases when its process ends, shows that nobody uses it any more.
    """
    _remove_left_folders(f"{_PREFIX}{purpose}-")
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{purpose}-") as name:
        folder = Path(name)
        handle = os.open(folder / f"{_OWNER}.new", os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # The file gets its name only once it is locked: whoever finds it unlocked may remove the folder.
            (folder / f"{_OWNER}.new").rename(folder / _OWNER)
            yield folder
        finally:
            os.close(handle)


def without_question_mark(folder: Path) -> Path:
    """The folder or, if its path has a question mark, a link to it, which exists until this process ends.

    In the address of a SQLite database, a question mark would begin the options, and the rest of the path be lost.
    """
    return _link(folder) if "?" in str(folder) else folder


@functools.cache
def _link(folder: Path) -> Path:
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    link = stack.enter_context(temporary_folder("link")) / "folder"
    link.symlink_to(folder, target_is_directory=True)
    return link


def _remove_left_folders(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        owner = folder / _OWNER
        # A folder without a lock is being made at this moment, or is somebody else's.
        if folder.is_symlink() or not owner.is_file() or folder.lstat().st_uid != os.getuid():
            continue
        try:
            with owner.open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except BlockingIOError:
            continue  # in use
        except FileNotFoundError:
            continue  # another process removes it, too


def _mode() -> int:
    """The mode of a new file; the umask can be read only by setting it."""
    with _umask:
        mask = os.umask(0o077)
        os.umask(mask)
    return 0o666 & ~mask


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits; the file is read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float, busy: Exception) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when the process ends; folders are created as needed.

    Args:
        path: the lock file.
        timeout_s: how long to wait for another holder.
        busy: raised if the lock is still held then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path, timeout=timeout_s).acquire()
    except Timeout as error:
        raise busy from error
    with lock:
        yield
