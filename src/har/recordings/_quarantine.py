"""Move a bad file to quarantine with the reason; a crash leaves it complete in the inbox or in quarantine.

Only regular files are opened and moved. A name that leaves no room for the note's suffixes is shortened.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import json
import os
import shutil
import traceback
from pathlib import Path

from har.errors import LakeError, RecordingError, UnexpectedError, reason
from har.files import file_sha256, write_atomically
from har.recordings._inbox import kind_of, odd, shown

_NAME_BYTES = 200
"""A longer name is shortened: the note and its draft append up to 19 bytes, a number some more; 255 is the limit."""


def quarantine(path: Path, error: RecordingError, folder: Path, *, inbox: Path) -> Path:
    """Move `path` to the same relative path under `folder` as under `inbox`, and write the reason to `<name>.json`.

    The note is written first, then the file is moved in one step (between file systems: copied, synced, then removed).
    A file with the same name and other content stays; the new file gets a numbered name. The note of an
    `UnexpectedError` has the traceback.

    Returns:
        The file's new path.

    Raises:
        LakeError: the disk refuses; the file is still in the inbox.
        OddEntryError: `path` is a link, pipe, socket or device (now); it was not touched.
    """
    try:
        kind = kind_of(path.lstat().st_mode)
        if kind:
            raise odd(path, inbox, kind)
        sha256 = file_sha256(path)
        target = _free_target(folder / path.parent.relative_to(inbox) / _short(path), sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        note: dict[str, object] = {
            "file": shown(path, inbox),
            "line": error.line or None,
            "error": type(error).__name__,
            "reason": str(error),
            "where": error.where,
            "expected": error.expected,
            "got": error.got,
            "remedy": error.remedy,
            "sha256": sha256,
            "original_path": str(path.absolute()),
            "quarantined_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        if isinstance(error, UnexpectedError) and error.__cause__ is not None:
            note["traceback"] = traceback.format_exception(error.__cause__)
        write_atomically(_note(target), (json.dumps(note, indent=2, ensure_ascii=False) + "\n").encode())
        _move(path, target)
    except OSError as refused:
        raise LakeError(
            where=str(path),
            expected=f"to move the file to {folder}",
            got=reason(refused),
            remedy="Free space or grant write access to both folders, then run it again: the file was not changed.",
        ) from refused
    return target


def _short(path: Path) -> str:
    """The name, or its beginning with a hash of the whole."""
    whole = path.name.encode()
    if len(whole) <= _NAME_BYTES:
        return path.name
    suffix = path.suffix if len(path.suffix.encode()) <= 10 else ""
    end = f"~{hashlib.sha256(whole).hexdigest()[:12]}{suffix}"
    return whole[: _NAME_BYTES - len(end.encode())].decode("utf-8", "ignore") + end


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _free_target(wanted: Path, sha256: str) -> Path:
    """`wanted`, or the first numbered name that is free; a note without its file is left from a crash and ignored."""
    candidate, number = wanted, 1
    while _is_taken(candidate, sha256):
        number += 1
        candidate = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return candidate


def _is_taken(target: Path, sha256: str) -> bool:
    # A quarantined file may have the name that the note would get.
    if _note(_note(target)).exists():
        return True
    return target.exists() and (target.is_dir() or file_sha256(target) != sha256)


def _move(path: Path, target: Path) -> None:
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            shutil.copy2(path, temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
        path.unlink()
        return
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable, where the file system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
