"""The first look at a file: its name, its beginning, and the names in it if it is a zip archive."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

HEAD_BYTES = 16_384
_MOST_NAMES = 100_000
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Look:
    """What a file shows at first sight.

    Attributes:
        path: the file, or a folder.
        head: its first bytes; empty for a folder.
        names: the paths in an archive, or the names in a folder, in lower case; none for other files, and for damaged
            archives.
    """

    path: Path
    head: bytes
    names: frozenset[str]

    @classmethod
    def of(cls, path: Path) -> Look:
        """Look at a file, an archive or a folder.

        Raises:
            OSError: it cannot be read.
        """
        if path.is_dir():
            return cls(path, b"", frozenset(one.name.casefold() for one in path.iterdir()))
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        return cls(path, head, _names(path) if head.startswith(_ZIP) else frozenset())

    @property
    def is_archive(self) -> bool:
        """Whether it is a zip archive."""
        return self.head.startswith(_ZIP)

    @property
    def text(self) -> str:
        """The beginning as text; "" if it is none."""
        if b"\0" in self.head:
            return ""
        return self.head.decode("utf-8-sig", "ignore")

    @property
    def lines(self) -> list[str]:
        """The first lines, stripped; the last may be cut short."""
        return [line.strip() for line in self.text.splitlines()]

    @property
    def basenames(self) -> frozenset[str]:
        """The names in an archive or folder without their folders."""
        return frozenset(PurePosixPath(name).name for name in self.names)


def _names(path: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.casefold() for name in archive.namelist()[:_MOST_NAMES])
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return frozenset()  # its reader says what is wrong with it
