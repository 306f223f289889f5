"""List the inbox: recordings named `<YYYY-MM-DD>/<subject>_<session>.<csv|parquet>`, and misnamed files."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from har.errors import FileNameError, NotARecordingError, RecordingError
from har.files import file_sha256
from har.log_lines import NAME_RULE, SESSION, SUBJECT

SUFFIXES = (".csv", ".parquet")
_UPLOADING = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SUBJECT = re.compile(SUBJECT)
_SESSION = re.compile(rf"[A-Za-z0-9._-]+|{SESSION}")
_PATH = "<inbox>/<YYYY-MM-DD>/<subject>_<session>.csv (or .parquet)"


@dataclass(frozen=True)
class InboxFile:
    """A file of the inbox with a valid name; its content has not been read."""

    path: Path
    date: dt.date
    subject: str
    session: str

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes, computed on first use."""
        return file_sha256(self.path)

    @property
    def where(self) -> str:
        """The file as messages name it: date folder and name."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True)
class StrayFile:
    """A file of the inbox that cannot be ingested because of its name, and the reason."""

    path: Path
    error: RecordingError


class Inbox(NamedTuple):
    """The inbox's files, each list sorted by path."""

    files: list[InboxFile]
    strays: list[StrayFile]


def inbox_files(inbox: Path, date: dt.date | None = None) -> Inbox:
    """List the recordings and the misnamed files under `inbox`, of one date if given.

    The subject is the part before the first underscore, the session the part after it. Hidden files and unfinished
    uploads (`.part`, `.tmp`, …) are skipped; AppleDouble files (`._name.csv`) are strays. A missing folder is empty.
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
        raise NotARecordingError.apple_double(where)
    folders = path.parent.relative_to(inbox).parts
    if len(folders) != 1:
        raise _misnamed(where, "a file directly in a folder <YYYY-MM-DD>", str(path.parent.relative_to(inbox)))
    if path.suffix.lower() not in SUFFIXES:
        raise FileNameError(
            where=where,
            expected="the extension .csv or .parquet",
            got=repr(path.suffix),
            remedy=f"Export the recording as CSV or Parquet, to {_PATH}.",
        )
    # macOS decomposes accented letters in file names; they stay one subject.
    subject, underscore, session = unicodedata.normalize("NFC", path.stem).partition("_")
    if not underscore:
        raise _misnamed(where, "<subject>_<session> before the extension", f"{path.stem!r} without an underscore")
    if not _SUBJECT.fullmatch(subject) or not _SESSION.fullmatch(session):
        raise _misnamed(
            where,
            f"{NAME_RULE}, in the subject, and in the session (which can have '_')",
            path.stem,
        )
    return InboxFile(path, _date(folders[0], where), subject, session)


def _date(folder: str, where: str) -> dt.date:
    try:
        if _DATE.fullmatch(folder):
            return dt.date.fromisoformat(folder)
    except ValueError:
        pass  # such as 2024-02-30
    raise _misnamed(where, "a folder named by its date, <YYYY-MM-DD>", repr(folder))


def _misnamed(where: str, expected: str, got: str) -> FileNameError:
    return FileNameError(where=where, expected=expected, got=got, remedy=f"Rename it to {_PATH}.")
