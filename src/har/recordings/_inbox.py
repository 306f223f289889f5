"""List the inbox: recordings named `<YYYY-MM-DD>/<subject>_<session>.<csv|parquet>`, and everything else in it.

Only names and types are looked at: nothing is opened, and no link is followed, so nothing outside the inbox is touched.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from har.errors import FileNameError, LakeError, NotARecordingError, OddEntryError, RecordingError, reason
from har.files import file_sha256
from har.log_lines import NAME_RULE, SESSION, SUBJECT

SUFFIXES = (".csv", ".parquet")
UPLOADING = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SUBJECT = re.compile(SUBJECT)
_SESSION = re.compile(rf"[A-Za-z0-9._-]+|{SESSION}")
_HELD = "_held"
_PATH = "<inbox>/<YYYY-MM-DD>/<subject>_<session>.csv (or .parquet)"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


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
        return hashlib.sha256(self.content()).hexdigest() if _HELD in vars(self) else file_sha256(self.path)

    def content(self) -> bytes:
        """The bytes of the file."""
        held: list[bytes] | None = vars(self).get(_HELD)
        if held is None:
            return self.path.read_bytes()
        if not held:
            held.append(self.path.read_bytes())
        return held[0]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """During the block, the bytes of a CSV are read once, when they are needed: what is hashed is what is parsed.

        Parquet files are read column by column instead.
        """
        if self.path.suffix.lower() == ".csv":
            vars(self)[_HELD] = []
        try:
            yield
        finally:
            vars(self).pop(_HELD, None)

    @property
    def where(self) -> str:
        """The file as messages name it: date folder and name."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True)
class StrayFile:
    """An entry of the inbox that is no recording, and the reason.

    With an `OddEntryError` (a link, a pipe, a name that is not UTF-8, …) it must not be opened or moved.
    """

    path: Path
    error: RecordingError


class Inbox(NamedTuple):
    """The inbox's recordings and the other entries, each list sorted by path."""

    files: list[InboxFile]
    strays: list[StrayFile]


def inbox_files(inbox: Path, date: dt.date | None = None, *, without: Collection[str] = ()) -> Inbox:
    """List the recordings and the other entries under `inbox`, of one date if given.

    Folders named in `without` are not looked into.

    The subject is the part before the first underscore, the session the part after it. Hidden files and unfinished
    uploads (`.part`, `.tmp`, …) are skipped; AppleDouble files (`._name.csv`) are strays. A missing folder is empty.
    `inbox` itself may be a link.

    Raises:
        LakeError: the inbox cannot be listed.
    """
    listing = Inbox([], [])
    for path, fault in _walk(inbox, None if date is None else date.isoformat(), without):
        try:
            if fault is not None:
                raise fault
            listing.files.append(_parse(path, inbox))
        except RecordingError as error:
            listing.strays.append(StrayFile(path, error))
    return listing


def inbox_entries(inbox: Path) -> Iterator[tuple[Path, OddEntryError | None]]:
    """Every file under `inbox` in the order of their paths; an odd entry (a link, a pipe, …) comes with the reason.

    Hidden files and unfinished uploads are skipped, as in `inbox_files`, whatever else the names are.

    Raises:
        LakeError: the inbox cannot be listed.
    """
    return _walk(inbox, None, ())


def kind_of(mode: int) -> str:
    """What an entry with this `st_mode` is, if it is neither a file nor a folder; otherwise "".

    `mode` is that of `lstat`: a link is a link, whatever it leads to.
    """
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return "a symbolic link" if stat.S_ISLNK(mode) else _KINDS.get(stat.S_IFMT(mode), "a special file")


def shown(path: Path, inbox: Path) -> str:
    """A path below the inbox as messages name it: bytes that are not UTF-8 and control characters are escaped."""
    text = os.fsencode(path.relative_to(inbox)).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def odd(path: Path, inbox: Path, kind: str) -> OddEntryError:
    """The reason why a link, pipe, socket or device is left alone."""
    if kind == "a symbolic link":
        remedy = "Links in the inbox are not followed: put the file itself there, or delete the link."
    else:
        remedy = "Only files are read: delete it, or keep it outside of the inbox."
    return OddEntryError.left(shown(path, inbox), "a file or a folder", kind, remedy)


def require_plain(path: Path) -> None:
    """Refuse to write an inbox file through a link, or in place of a link, pipe, socket or device.

    Raises:
        OddEntryError: the file or its date folder is one.
    """
    for entry in (path.parent, path):
        kind = kind_of(entry.lstat().st_mode) if os.path.lexists(entry) else ""
        if kind:
            raise odd(entry, path.parents[1], kind)


def _walk(inbox: Path, only: str | None, without: Collection[str]) -> Iterator[tuple[Path, OddEntryError | None]]:
    """Files in the order of their paths, and odd entries with the reason; `only`: one entry of the inbox."""
    if not inbox.is_dir():
        return
    try:
        waiting = [path for path in _entries(inbox) if path.name not in without]
    except OSError as error:
        raise LakeError.unreadable(inbox, error) from error
    if only is not None:
        waiting = [path for path in waiting if path.name == only]
    # A stack instead of recursion: folders may be nested more deeply than Python recurses.
    while waiting:
        path = waiting.pop()
        hidden = path.name.startswith(".") and not path.name.startswith("._")
        if hidden or path.suffix.lower() in UPLOADING:
            continue
        try:
            mode = path.lstat().st_mode
            fault = _fault(path, inbox, mode)
            if fault is None and stat.S_ISDIR(mode):
                waiting += _entries(path)
                continue
        except FileNotFoundError:  # gone since the folder was listed
            continue
        except OSError as error:
            fault = _unlisted(path, inbox, error)
        if only is None or path != inbox / only or fault is not None:
            yield path, fault


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder, the last one first."""
    return sorted((folder / name for name in os.listdir(folder)), reverse=True)  # noqa: PTH208  iterdir is lazy


def _fault(path: Path, inbox: Path, mode: int) -> OddEntryError | None:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        remedy = "Rename it with the letters of this computer (convmv, detox)."
        return OddEntryError.left(shown(path, inbox), "a name in UTF-8", "other bytes", remedy)
    kind = kind_of(mode)
    return odd(path, inbox, kind) if kind else None


def _unlisted(path: Path, inbox: Path, error: OSError) -> OddEntryError:
    remedy = "Check the permissions, and that the path is not too long."
    return OddEntryError.left(shown(path, inbox), "a file or a folder that can be read", reason(error), remedy)


def _parse(path: Path, inbox: Path) -> InboxFile:
    where = shown(path, inbox)
    if path.name.startswith("._"):
        raise NotARecordingError.apple_double(where)
    folders = path.parent.relative_to(inbox).parts
    if len(folders) != 1:
        raise _misnamed(where, "a file directly in a folder <YYYY-MM-DD>", shown(path.parent, inbox))
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
            shown(path.with_name(path.stem), path.parent),
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
