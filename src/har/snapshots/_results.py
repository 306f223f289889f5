"""A snapshot in the history, and the result of taking one."""

from __future__ import annotations

from dataclasses import dataclass, field

from har.snapshots._pointer import Pointer


@dataclass(frozen=True)
class Snapshot:
    """One in the history.

    Attributes:
        commit: full hash.
        date: ISO, of the commit.
        why: in the words of who took it.
        pointers: by folder, `inbox` and `labels`.
    """

    commit: str
    date: str
    why: str
    pointers: dict[str, Pointer]

    @property
    def files(self) -> int:
        """Number of recordings and label files."""
        return sum(pointer.files for pointer in self.pointers.values())

    @property
    def size(self) -> int:
        """Bytes of them."""
        return sum(pointer.size for pointer in self.pointers.values())


@dataclass(frozen=True)
class Taken:
    """The result of `take`.

    Attributes:
        snapshot: the one that holds the folders now; its commit is an earlier one if nothing changed.
        new: whether a commit was made.
        added: files that the last snapshot did not have, or with other content.
        removed: files that it had, and that are gone.
        left_out: entries that are in no snapshot: links, pipes, files that may not be read; path and reason.
        unfinished: files that changed while they were read; the next snapshot has them.
        notes: sentences about what a person should know.
    """

    snapshot: Snapshot
    new: bool
    added: int = 0
    removed: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
