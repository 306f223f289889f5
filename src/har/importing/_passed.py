"""What an import passes over, so that nobody takes a part of a folder for all of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from har.importing._kinds import SUFFIXES
from har.recordings.layouts import Source
from har.recordings.layouts._look import Look
from har.recordings.layouts._recognise import recognised
from har.recordings.layouts._tree import printable

_EXAMPLES = 3


@dataclass(frozen=True)
class Passed:
    """Entries of the folder that were not read.

    Attributes:
        what: the kind, in the plural: ".xlsx files", "broken links".
        count: how many.
        examples: some paths within the folder.
        hint: how to import them, if that is known.
    """

    what: str
    count: int
    examples: tuple[str, ...]
    hint: str = ""

    def __str__(self) -> str:
        shown = ", ".join(self.examples) + (", …" if self.count > len(self.examples) else "")
        what = self.what if self.count > 1 else _ONE.get(self.what, self.what.replace("files", "file"))
        return f"{self.count} {what} ({shown})" + (f": {self.hint}" if self.hint else "")


def passed_over(source: Source, files: Collection[Path]) -> list[Passed]:
    """The entries under the source that were not read, by kind; `files` are those that the layout listed."""
    if not source.path.is_dir():
        return []
    read = {*files, *source.opened}
    others: dict[str, list[Path]] = {}
    for path in source.tree.files:
        if path not in read and not path.name.startswith("._"):
            others.setdefault(path.suffix.lower(), []).append(path)
    odd: dict[str, list[Path]] = {}
    for path, reason in source.tree.odd:
        odd.setdefault(reason, []).append(path)
    found = [
        _passed(source.path, f"{suffix} files" if suffix else "files without an extension", paths, _how(suffix, paths))
        for suffix, paths in others.items()
    ]
    found += [_passed(source.path, reason, paths, _ODD.get(reason, "")) for reason, paths in odd.items()]
    return sorted(found, key=lambda one: (-one.count, one.what))


_ONE = {
    "links that lead out of the folder": "link that leads out of the folder",
    "broken links": "broken link",
    "links to folders": "link to a folder",
    "entries that are no files": "entry that is no file",
    "entries that cannot be read": "entry that cannot be read",
    "names that are not UTF-8": "name that is not UTF-8",
    "folders that cannot be read": "folder that cannot be read",
}
_ODD = {
    "links that lead out of the folder": "import the folder that holds their targets",
    "links to folders": "import the folder that they lead to",
    "names that are not UTF-8": "rename the files",
}


def _how(suffix: str, paths: list[Path]) -> str:
    """How to import files of one suffix: as the first of them shows, or as the suffix does."""
    try:
        layout = recognised(Look.of(paths[0]))
    except OSError:
        layout = None
    return f"see `har import {layout.name}`" if layout is not None else SUFFIXES.get(suffix, "")


def _passed(root: Path, what: str, paths: list[Path], hint: str) -> Passed:
    names = tuple(printable(path.relative_to(root)) for path in paths[:_EXAMPLES])
    return Passed(what, len(paths), names, hint)
