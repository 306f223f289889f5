"""Files by name: written so that a reader sees the old content or the new one, never a half; locked; and hashed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Replace `path` by `content` in one step; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path`, to be written; it takes the place of `path` when the block ends, and is on disk by then.

    A failed block leaves `path` as it was, and no draft.

    Raises:
        OSError: the folder of `path` is not there or cannot be written, or the disk refuses.
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
    """SHA-256 of a file's bytes in hexadecimal digits, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float, busy: Exception) -> Iterator[None]:
    """Hold the lock file `path`, which dies with its process; folders are made as needed.

    Args:
        path: the lock's file.
        timeout_s: how long to wait for another holder.
        busy: raised when it has not let go by then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path, timeout=timeout_s).acquire()
    except Timeout as error:
        raise busy from error
    with held:
        yield
