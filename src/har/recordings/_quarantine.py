"""Put a bad file aside with its reason, so that at every instant it lies whole in the inbox or in quarantine."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import shutil
from pathlib import Path

from har.errors import LakeError, RecordingError
from har.files import file_sha256, write_atomically


def quarantine(path: Path, error: RecordingError, folder: Path, *, inbox: Path) -> Path:
    """Move `path` to the same place under `folder` as under `inbox`, with the reason in `<name>.json` beside it.

    The note is written first, then the file is moved in one step (copied, synced and only then removed across file
    systems). A file of that name and other content stays; the newcomer gets a numbered name.

    Returns:
        Where the file lies now.

    Raises:
        LakeError: the disk refuses; the file is still in the inbox.
    """
    try:
        sha256 = file_sha256(path)
        target = _free_target(folder / path.parent.relative_to(inbox) / path.name, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        note = {
            "file": str(path.relative_to(inbox)),
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
        write_atomically(_note(target), (json.dumps(note, indent=2, ensure_ascii=False) + "\n").encode())
        _move(path, target)
    except OSError as refused:
        raise LakeError(
            where=str(path),
            expected=f"to move the file to {folder}",
            got=refused.strerror or str(refused),
            remedy="Free space or grant write access to both folders, then run it again: nothing was lost.",
        ) from refused
    return target


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _free_target(wanted: Path, sha256: str) -> Path:
    """`wanted`, or the first numbered name that holds nothing else; a note without its file is left from a crash."""
    candidate, number = wanted, 1
    while _holds_other(candidate, sha256):
        number += 1
        candidate = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return candidate


def _holds_other(target: Path, sha256: str) -> bool:
    # The place of our note may be taken by a quarantined file that is called so.
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
    """Make the renaming itself durable, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
