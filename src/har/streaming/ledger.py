"""What became of every message: received = scored + waiting + late + duplicate + rejected, at any moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from har.errors import StorageError
from har.streaming.store import database, known_shards

_FATES = ("scored", "waiting", "late", "duplicate", "rejected")


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of a subject, or of all.

    Attributes:
        received: messages that came, each time that they came.
        scored: messages whose windows are answered.
        waiting: messages in the store: new, or part of windows in progress.
        late: messages that came after the windows of their time were answered; they are in quarantine.
        duplicate: messages that had come before.
        rejected: messages that cannot be used; they are in quarantine.
        samples: of scored messages, at the project's rate.
        windows: answered.
        short: samples of segments that were too short for a window.
    """

    received: int = 0
    scored: int = 0
    waiting: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    samples: int = 0
    windows: int = 0
    short: int = 0

    @property
    def balances(self) -> bool:
        """Whether every message has exactly one fate."""
        return bool(self.received == sum(getattr(self, name) for name in _FATES))

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Ledger:
    """The counts of all subjects, by name."""

    subjects: Mapping[str, Counts]

    @property
    def total(self) -> Counts:
        """Of all subjects."""
        return sum(self.subjects.values(), Counts())

    @property
    def balances(self) -> bool:
        """Whether it does for every subject."""
        return all(counts.balances for counts in self.subjects.values())

    def as_dict(self) -> dict[str, Any]:
        """`total`, `balances` and `subjects`, for JSON."""
        return {
            "total": self.total.as_dict(),
            "balances": self.balances,
            "subjects": {name: counts.as_dict() for name, counts in sorted(self.subjects.items())},
        }


def read_ledger(folder: Path) -> Ledger:
    """The ledger of a stream's folder, from the store; `waiting` is counted in the messages that are there.

    Any process can read it at any time; each shard is read in one transaction.

    Args:
        folder: `paths.stream`; without a store, the ledger is empty.

    Raises:
        StorageError: a file cannot be read.
    """
    found: dict[str, Counts] = {}
    for number in range(known_shards(folder)):
        path = database(folder, number)
        if path.exists():
            for subject, counts in _shard(path).items():
                found[subject] = found.get(subject, Counts()) + counts
    return Ledger(found)


def _shard(path: Path) -> dict[str, Counts]:
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5, isolation_level=None)
        try:
            connection.execute("BEGIN")
            if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name='streams'").fetchone()[0]:
                return {}  # another process is just making it
            waiting = dict(
                connection.execute(
                    "SELECT s.subject, sum(m.n) FROM (SELECT stream, count(*) AS n FROM messages GROUP BY stream) m "
                    "JOIN streams s ON s.id=m.stream GROUP BY s.subject"
                ).fetchall()
            )
            rows = connection.execute(
                "SELECT subject, sum(received), sum(scored), sum(late), sum(duplicate), sum(rejected), sum(samples), "
                "sum(windows), sum(short) FROM streams GROUP BY subject"
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageError(
            where=str(path),
            expected="a stream's store",
            got=str(error),
            remedy="Check that you may read the file; if it is damaged, restore it from a backup.",
        ) from error
    return {
        subject: Counts(received, scored, waiting.get(subject, 0), late, duplicate, rejected, samples, windows, short)
        for subject, received, scored, late, duplicate, rejected, samples, windows, short in rows
    }
