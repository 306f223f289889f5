"""The files of one recording, in a zip archive or in a folder: archives are read where they are, never unpacked.

An archive is refused whole if a name in it leads out of it, if two entries have one name, if it is encrypted, or if it
claims more than any recording holds. `zipfile` stops at the size that an entry claims, so that no entry can be longer.
"""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from har.errors import NotARecordingError, reason
from har.recordings.layouts._layout import Source
from har.recordings.layouts._tables.format import Opens
from har.recordings.layouts._tree import matches

MOST_ENTRIES = 100_000
"""An app may put a photo of every moment beside its tables."""
MOST_BYTES = 4 << 30
"""Of one entry, unpacked: a week of six channels at 100 Hz as text has a sixth of it."""
MOST_RATIO = 500
"""Text of numbers shrinks to a fifth or a tenth, zeros to a thousandth."""
_SMALL = 64 << 20
"""Entries up to this size may shrink as much as they like."""
_SYSTEM = "__MACOSX"
_DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True)
class Bundle:
    """The files of one recording.

    Attributes:
        where: the archive or folder, as messages name it.
        name: of the recording: that of the archive or folder, and of the folder within the archive if it has several.
        entries: the files by their names in lower case.
        note: told of each entry that is opened.
    """

    where: str
    name: str
    entries: Mapping[str, Opens]
    note: Callable[[Opens], object] = field(default=lambda entry: entry)

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self.entries

    def entry(self, name: str) -> Opens:
        """A file of that name, whatever its case; it must exist."""
        found = self.entries[name.casefold()]
        self.note(found)
        return found

    def place(self, name: str) -> str:
        """The file, as messages name it."""
        return f"{self.where}, {name}"


def bundle_paths(source: Source, holds: Callable[[Collection[str]], bool], *others: str) -> list[Path]:
    """Archives, folders and single files to read, sorted: what a reader of bundles returns from `find`.

    Args:
        source: what is imported. A file in it that is no archive stands for its folder.
        holds: whether a folder with files of these names (in lower case) is a recording.
        others: patterns of further files that are recordings by themselves.
    """
    if source.path.is_file():
        alone = zipfile.is_zipfile(source.path) or matches(source.path, others)
        folder = source.path.absolute().parent
        whole = not alone and holds({one.name.casefold() for one in folder.iterdir()})
        return [folder if whole else source.path]
    by_folder: defaultdict[Path, set[str]] = defaultdict(set)
    for path in source.tree.files:
        by_folder[path.parent].add(path.name.casefold())
    folders = [folder for folder, names in by_folder.items() if holds(names)]
    return sorted([*folders, *source.files("*.zip", *others)])


@contextmanager
def bundles(path: Path, source: Source) -> Iterator[list[Bundle]]:
    """The recordings of an archive, one for each of its folders with files, or that of a folder.

    Raises:
        NotARecordingError: the archive is damaged, encrypted, or refused for what its entries claim.
    """
    if path.is_dir():
        files = {one.name.casefold(): one for one in sorted(path.iterdir()) if one.is_file() and one.name[:2] != "._"}
        yield [Bundle(str(path), path.name, files, lambda entry: source.opens(Path(str(entry))))]
        return
    with opened_zip(path) as archive:
        by_folder: defaultdict[str, dict[str, Opens]] = defaultdict(dict)
        for info in checked(archive, str(path)):
            at = _place(info)
            by_folder[at.parent.as_posix()][at.name.casefold()] = _Entry(archive, info, str(path))
        several = len(by_folder) > 1
        names = {folder: f"-{folder.replace('/', '-')}" if several and folder != "." else "" for folder in by_folder}
        yield [Bundle(str(path), path.stem + names[folder], entries) for folder, entries in sorted(by_folder.items())]


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """An open archive.

    Raises:
        NotARecordingError: it is damaged, here or while it is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise NotARecordingError(
            where=str(path),
            expected="a complete zip archive",
            got=reason(error),
            remedy="Export it again, or copy it again: it was cut short or changed on the way.",
        ) from error


def checked(archive: zipfile.ZipFile, where: str) -> list[zipfile.ZipInfo]:
    """The files in an archive, those that macOS adds left out.

    Raises:
        NotARecordingError: the archive claims too much, is encrypted, or has names that lead out of it.
    """
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MOST_ENTRIES:
        raise _refused(where, f"at most {MOST_ENTRIES:,} files in an archive", f"{len(infos):,}")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        at = _place(info)
        if at.is_absolute() or ".." in at.parts or _DRIVE.match(info.filename):
            raise _refused(where, "names that stay within the archive", repr(info.filename))
        if _SYSTEM in at.parts or at.name.startswith("._"):
            continue
        if info.flag_bits & 1:
            raise NotARecordingError(
                where=where,
                expected="an archive without a password",
                got=f"{at.name}, encrypted",
                remedy="Unpack it with its password, and import the folder.",
            )
        if found.setdefault(at.as_posix().casefold(), info) is not info:
            raise _refused(where, "one file of each name", f"two of {at.name!r}")
    return list(found.values())


def _place(info: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))  # some programs on Windows write their own separator


def read_entry(entry: Opens, most: int) -> bytes:
    """All bytes of a file, at most `most` of them; one more tells that it is longer."""
    with entry.open("rb") as file:
        return file.read(most + 1)


@dataclass(frozen=True)
class _Entry:
    """A file in an archive; it opens as a path does."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    where: str

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        size, packed = self.info.file_size, self.info.compress_size
        if size > MOST_BYTES or (size > _SMALL and size > MOST_RATIO * max(1, packed)):
            raise _refused(
                self.where,
                f"entries of at most {MOST_BYTES >> 30} GiB that shrink to a {MOST_RATIO}th at most",
                f"{self.info.filename!r}: {size:,} bytes from {packed:,}",
            )
        return self.archive.open(self.info, mode[0])  # type: ignore[arg-type]


def _refused(where: str, expected: str, got: str) -> NotARecordingError:
    return NotARecordingError(
        where=where,
        expected=expected,
        got=got,
        remedy="It is no export of this app. If you trust it, unpack it yourself and import the folder.",
    )
