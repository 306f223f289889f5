"""List a folder to import: its files, and the entries that are no files of it, such as broken links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass
class Tree:
    """The entries of a folder and its subfolders, each list sorted.

    Attributes:
        files: regular files, and links to files inside the folder.
        odd: entries that are never opened, each with the reason, in a few words.
    """

    files: list[Path] = field(default_factory=list)
    odd: list[tuple[Path, str]] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path) -> Tree:
        """List `root`; links to folders are not followed, so nothing is listed twice or without end."""
        tree = cls()
        inside = root.resolve()
        for folder, folders, names in os.walk(root, onerror=lambda error: tree.odd.append(_closed(error))):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in [*links, *names]:
                path = Path(folder, name)
                reason = _odd(path, inside)
                if reason:
                    tree.odd.append((path, reason))
                else:
                    tree.files.append(path)
        tree.files.sort()
        tree.odd.sort()
        return tree


def matches(path: Path, patterns: Iterable[str]) -> bool:
    """Whether the file's name matches one of the patterns, ignoring case."""
    name = path.name.casefold()
    return any(fnmatchcase(name, pattern.casefold()) for pattern in patterns)


def child(folder: Path, name: str) -> Path:
    """The entry `name` of a folder, or one whose name differs in case only; it need not exist."""
    wanted = folder / name
    if wanted.exists() or not folder.is_dir():
        return wanted
    same = [one for one in sorted(folder.iterdir()) if one.name.casefold() == name.casefold()]
    return same[0] if same else wanted


def printable(path: Path | str) -> str:
    """The path as messages show it: bytes that are no UTF-8 and control characters as escapes."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def _odd(path: Path, inside: Path) -> str:
    """Why an entry is not to be read; nothing if it is."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "names that are not UTF-8"
    try:
        mode = path.stat().st_mode  # of what a link leads to
        target = path.resolve() if path.is_symlink() else None
    except (OSError, RuntimeError):
        return "broken links" if path.is_symlink() else "entries that cannot be read"
    if target is not None and not target.is_relative_to(inside):
        return "links that lead out of the folder"
    if stat.S_ISDIR(mode):
        return "links to folders"
    return "" if stat.S_ISREG(mode) else "entries that are no files"


def _closed(error: OSError) -> tuple[Path, str]:
    return Path(error.filename or "."), "folders that cannot be read"
