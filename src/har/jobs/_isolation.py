"""Whatever is wrong with one file is that file's: decide whose fault an error is, put the file aside or leave it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from har.errors import LakeError, OddEntryError, RecordingError, UnexpectedError, reason
from har.recordings import InboxFile, kind_of, odd, quarantine, shown
from har.settings import Settings

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Reasons of the system that would hold for other files, too; the others are about one file or folder."""


@contextlib.contextmanager
def fault_of(file: InboxFile, settings: Settings) -> Iterator[None]:
    """Turn every error of the block, which reads `file`, into a `RecordingError`, except those of the disk.

    Raises:
        OddEntryError: the file is no regular file (any more), or cannot be read; it must stay where it is.
        UnexpectedError: the program fails, also in Rust.
        LakeError: the disk is full, or the process has too many files open.
    """
    inbox = settings.path("inbox")
    try:
        kind = kind_of(file.path.lstat().st_mode)
        if kind:
            raise odd(file.path, inbox, kind)
        yield
    except RecordingError:
        raise
    except OSError as error:
        if _is_of_the_disk(error):
            raise error if isinstance(error, LakeError) else LakeError.unreadable(file.path, error) from error
        raise OddEntryError.left(
            file.where, "a file that can be read", _words(error), "Check its permissions and the disk."
        ) from error
    except Exception as error:
        raise UnexpectedError.of(file.where, error) from error
    except BaseException as error:
        # A panic of Polars, which is no `Exception`; not an interrupt or the end of the process.
        if type(error).__name__ != "PanicException":
            raise
        raise UnexpectedError.of(file.where, error) from error


def set_aside_or_leave(
    path: Path, error: RecordingError, settings: Settings
) -> tuple[str, Path | RecordingError | None]:
    """Move a file to quarantine unless it must not or cannot be moved.

    Returns:
        The file as messages name it; and its new path, or the reason why it stays where it is, or None: it is gone.

    Raises:
        LakeError: the disk is full; the file is still in the inbox.
    """
    inbox = settings.path("inbox")
    name = shown(path, inbox)
    if isinstance(error, OddEntryError):
        return name, error
    try:
        return name, quarantine(path, error, settings.path("quarantine"), inbox=inbox)
    except OddEntryError as changed:
        return name, changed
    except LakeError as refused:
        if not os.path.lexists(path):  # another run has moved it
            return name, None
        if _is_of_the_disk(refused):
            raise
        return name, OddEntryError.left(
            name,
            "a file that can be ingested or moved to quarantine",
            f"neither: {error}",
            f"It could not be moved: {_words(refused)}.",
        )


def _cause(error: OSError) -> OSError:
    """The error of the system behind a `LakeError`."""
    return error.__cause__ if isinstance(error, LakeError) and isinstance(error.__cause__, OSError) else error


def _is_of_the_disk(error: OSError) -> bool:
    cause = _cause(error)
    return cause.errno in _OF_THE_DISK or (isinstance(cause, LakeError) and cause.errno is None)


def _words(error: OSError) -> str:
    return reason(_cause(error))
