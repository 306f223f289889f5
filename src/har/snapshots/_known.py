"""Hashes of files that were read before: a file whose stamp has not changed is not read again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from pathlib import Path

from har.files import write_atomically
from har.snapshots._objects import Kept, Stamp, stamp

_FORMAT = 1
_FRESH_NS = 3_000_000_000
"""A file that changed so shortly before it was read may change again without another stamp: disks round the time."""


class Known:
    """The hashes by path, kept in a file that may be deleted at any time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, Kept] = {}
        self._changed = False
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["format"] == _FORMAT:
                self._kept = {
                    path: Kept(md5, sha256, (size, mtime, ctime, inode))
                    for path, (md5, sha256, size, mtime, ctime, inode) in content["files"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._kept = {}  # absent, or of another release: everything is read again
        self._sha256 = {kept.md5: kept.sha256 for kept in self._kept.values()}

    def find(self, path: str, status: os.stat_result) -> Kept | None:
        """The hashes of a file with this stamp; None: it has to be read."""
        kept = self._kept.get(path)
        return kept if kept is not None and kept.stamp == stamp(status) else None

    def add(self, path: str, kept: Kept) -> None:
        """Remember the hashes of a file that was just read."""
        self._sha256[kept.md5] = kept.sha256
        if is_settled(kept.stamp):
            self._kept[path] = kept
            self._changed = True

    def sha256(self, md5: str) -> str | None:
        """The SHA-256 of the bytes with this MD5, if they were read here."""
        return self._sha256.get(md5)

    def learn(self, md5: str, sha256: str) -> None:
        """Remember both hashes of an object, until this process ends."""
        self._sha256[md5] = sha256

    def keep_only(self, prefix: str, paths: Collection[str]) -> None:
        """Forget what is not among these paths of a folder."""
        gone = [path for path in self._kept if path.startswith(prefix) and path.removeprefix(prefix) not in paths]
        for path in gone:
            del self._kept[path]
            self._changed = True

    def save(self) -> None:
        """Write what is new."""
        if self._changed:
            files = {path: [kept.md5, kept.sha256, *kept.stamp] for path, kept in self._kept.items()}
            write_atomically(self._file, json.dumps({"format": _FORMAT, "files": files}))
            self._changed = False


def is_settled(of: Stamp) -> bool:
    """Whether the last change is old enough for another one to show in the stamp."""
    return time.time_ns() - max(of[1], of[2]) > _FRESH_NS
