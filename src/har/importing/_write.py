"""Staged files into the inbox, each in one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from har.errors import ConflictingRecordingError, LakeError
from har.files import write_atomically
from har.importing._survey import Refused, Survey


@dataclass
class Written:
    """What `write` did: files that are new, that were there with the same content, and that hold something else."""

    new: int = 0
    present: int = 0
    conflicts: list[Refused] = field(default_factory=list)


def write(found: Survey, inbox: Path) -> Written:
    """Put the staged files into the inbox, each in one step; what is there stays as it is.

    Raises:
        LakeError: the disk refuses.
    """
    written = Written()
    for one in found.staged:
        target = inbox / one.file.date.isoformat() / one.file.path.name
        try:
            content = one.file.path.read_bytes()
            if not target.exists():
                write_atomically(target, content)
                written.new += 1
            elif target.read_bytes() == content or _same_table(target, one.file.path):
                written.present += 1
            else:
                written.conflicts.append(Refused(one.source, _conflict(target)))
        except OSError as error:
            raise _unwritable(target, error) from error
    return written


def _same_table(one: Path, other: Path) -> bool:
    """Another polars release writes other bytes for the same table."""
    try:
        return pl.read_parquet(one).equals(pl.read_parquet(other))
    except pl.exceptions.PolarsError:
        return False


def _conflict(target: Path) -> ConflictingRecordingError:
    return ConflictingRecordingError(
        where=str(target),
        expected="no file, or the same recording",
        got="a file with other content",
        remedy="It stays as it is. Delete it to take the new one (then `har ingest --replace`), or import all of the "
        "folder at once, as the first time.",
    )


def _unwritable(path: Path, error: OSError) -> LakeError:
    return LakeError(
        where=str(path),
        expected="an inbox that can be written",
        got=error.strerror or str(error),
        remedy="Free space or grant write access, then run the same command again: what is there is not written twice.",
    )
