"""Copy staged files into the inbox, each in one step."""

from __future__ import annotations

import filecmp
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from har.errors import ConflictingRecordingError, LakeError, OddEntryError
from har.files import make_folder, replacing
from har.importing._staged import Refused, Survey
from har.recordings import require_plain


@dataclass
class Written:
    """The result of `write`: files written, files present with the same content, and files with other content."""

    new: int = 0
    present: int = 0
    conflicts: list[Refused] = field(default_factory=list)


def write(survey: Survey, inbox: Path) -> Written:
    """Copy the staged files into the inbox, each in one step; existing files are not changed.

    Raises:
        LakeError: the disk refuses.
    """
    written = Written()
    for one in survey.staged:
        target = inbox / one.file.date.isoformat() / one.file.path.name
        try:
            require_plain(target)
            if not target.exists():
                make_folder(target.parent)
                with replacing(target) as draft:
                    shutil.copyfile(one.file.path, draft)
                written.new += 1
            elif filecmp.cmp(target, one.file.path, shallow=False) or _same_table(target, one.file.path):
                written.present += 1
            else:
                written.conflicts.append(Refused(one.source, _conflict(target)))
        except OddEntryError as error:
            written.conflicts.append(Refused(one.source, error))
        except OSError as error:
            raise LakeError.refused(target, error) from error
    return written


def _same_table(one: Path, other: Path) -> bool:
    """Whether two files hold the same table; releases of polars write different bytes for the same table."""
    try:
        return pl.read_parquet(one, glob=False).equals(pl.read_parquet(other, glob=False))
    except pl.exceptions.PolarsError:
        return False


def _conflict(target: Path) -> ConflictingRecordingError:
    return ConflictingRecordingError(
        where=str(target),
        expected="no file, or the same recording",
        got="a file with other content",
        remedy="The file was not changed. Delete it to import the new one (then run `har ingest --replace`), or import "
        "the whole folder at once, as before.",
    )
