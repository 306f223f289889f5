"""Write, lock and hash files. A file is replaced in one step: readers see the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Replace `path` by `content` in one step; folders are created as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; when the block ends, it is synced to disk and renamed to `path`.

    If the block fails, `path` stays unchanged and the temporary file is removed.

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
        draft.chmod(0o644)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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
