"""What lies in the inbox: `<inbox>/<YYYY-MM-DD>/<subject>_<session>.<csv|parquet>`, and what is misnamed there."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from har.errors import FileNameError, NotARecordingError, RecordingError
from har.files import file_sha256
from har.log_lines import SUBJECT

SUFFIXES = (".csv", ".parquet")
_UPLOADING = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SUBJECT = re.compile(SUBJECT)
_SESSION = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class InboxFile:
    """A well-named file of the inbox; nothing of its content was read yet."""

    path: Path
    date: dt.date
    subject: str
    session: str

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes, read in blocks on first use."""
        return file_sha256(self.path)

    @property
    def where(self) -> str:
        """How messages name the file: its date folder and its name."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True)
class StrayFile:
    """A file of the inbox whose name alone shows that it cannot be ingested, and why."""

    path: Path
    error: RecordingError


class Inbox(NamedTuple):
    """The inbox's files, each list sorted by path."""

    files: list[InboxFile]
    strays: list[StrayFile]


def inbox_files(inbox: Path, date: dt.date | None = None) -> Inbox:
    """List the recordings under `inbox` (of one date, if given), and what is misnamed there.

    The subject is everything before the first underscore, the session everything after it. Dot files and uploads under
    way (`.part`, `.tmp`, …) are passed over; AppleDouble companions (`._name.csv`) are strays. A missing folder holds
    nothing.
    """
    listing = Inbox([], [])
    root = inbox if date is None else inbox / date.isoformat()
    for path in _walk(root):
        try:
            listing.files.append(_parse(path, inbox))
        except RecordingError as error:
            listing.strays.append(StrayFile(path, error))
    return listing


def _walk(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and not path.name.startswith("._")
        if hidden or path.suffix.lower() in _UPLOADING:
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _parse(path: Path, inbox: Path) -> InboxFile:
    where = str(path.relative_to(inbox))
    if path.name.startswith("._"):
        raise NotARecordingError(
            where=where,
            expected="a recording",
            got="an AppleDouble file, which macOS leaves beside a copied file",
            remedy="Delete it; the recording is the file without '._' in front.",
        )
    folders = path.parent.relative_to(inbox).parts
    if len(folders) != 1:
        raise _misnamed(where, "a folder <YYYY-MM-DD> that holds the file", str(path.parent.relative_to(inbox)))
    if path.suffix.lower() not in SUFFIXES:
        raise _misnamed(where, "the extension .csv or .parquet", repr(path.suffix))
    subject, underscore, session = path.stem.partition("_")
    if not underscore:
        raise _misnamed(where, "<subject>_<session> before the extension", f"{path.stem!r} without an underscore")
    if not _SUBJECT.fullmatch(subject) or not _SESSION.fullmatch(session):
        raise _misnamed(
            where,
            "letters, digits, '.' and '-' in subject (at most 64) and session (and '_' in the session)",
            path.stem,
        )
    return InboxFile(path, _date(folders[0], where), subject, session)


def _date(folder: str, where: str) -> dt.date:
    try:
        if _DATE.fullmatch(folder):
            return dt.date.fromisoformat(folder)
    except ValueError:
        pass  # the 30th of February: named below like any other folder that is no date
    raise _misnamed(where, "a folder named by its date, <YYYY-MM-DD>", repr(folder))


def _misnamed(where: str, expected: str, got: str) -> FileNameError:
    return FileNameError(
        where=where,
        expected=expected,
        got=got,
        remedy="Rename it to <inbox>/<YYYY-MM-DD>/<subject>_<session>.csv (or .parquet).",
    )
