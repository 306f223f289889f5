"""`Spool`: messages on this device's disk until the project has told that they are on its own."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from har.errors import SettingsError, StorageError
from har.streaming._acks import Ack
from har.streaming.client._message import Made
from har.streaming.envelope import StreamKey

_log = logging.getLogger("har.stream.client")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, subject TEXT, device TEXT, session TEXT, following INTEGER NOT NULL,
    UNIQUE (subject, device, session)
);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, sequence INTEGER NOT NULL,
    body BLOB NOT NULL, content_type TEXT NOT NULL, refused TEXT, UNIQUE (stream, sequence)
);
"""


class Waiting(NamedTuple):
    """A message of the spool that is to be sent."""

    number: int
    key: StreamKey
    sequence: int
    body: bytes
    content_type: str


class Spool:
    """A file of messages. What `add` took survives the end of this program, however it ends.

    Which messages are on their way is kept in memory only: after a restart, all are sent again, and those that had
    arrived are known to the project by their sequence.

    Args:
        path: of the file; one process at a time.

    Raises:
        SettingsError: another process has it.
        StorageError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(f"{path}.lock", is_singleton=False)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise SettingsError(
                where=str(path),
                expected="a spool file of one process",
                got="one that another process sends from",
                remedy="End that process, or name another file with --spool.",
            ) from error
        except OSError as error:
            raise StorageError.refused(path, error) from error
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._lock.release()
            raise StorageError.refused(path, error) from error
        self._path = path
        self._last = 0
        self._sent: dict[int, float] = {}
        self._waiting = int(self._one("SELECT count(*) FROM messages WHERE refused IS NULL"))

    def close(self) -> None:
        """Close the file; what it holds is sent by the next process that opens it."""
        self._database.close()
        self._lock.release()

    def add(self, made: Iterable[Made]) -> int:
        """Put messages on the disk, and return how many; those that an earlier start had put are passed over.

        Raises:
            StorageError: the disk is full; none of them was put.
        """
        added = 0
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for one in made:
                    stream, following = self._stream(one.key)
                    if one.sequence < following:
                        continue
                    self._database.execute(
                        "INSERT INTO messages (stream, sequence, body, content_type) VALUES (?, ?, ?, ?)",
                        (stream, one.sequence, one.body, one.content_type),
                    )
                    self._database.execute("UPDATE streams SET following=? WHERE id=?", (one.sequence + 1, stream))
                    added += 1
        except sqlite3.Error as error:
            raise StorageError.refused(self._path, error) from error
        self._waiting += added
        return added

    def following(self, key: StreamKey) -> int:
        """The sequence after the last that was put."""
        rows = self._database.execute(
            "SELECT following FROM streams WHERE subject=? AND device=? AND session=?", key
        ).fetchall()
        return int(rows[0][0]) if rows else 0

    def due(self, most: int, again_s: float, *, now: float | None = None) -> list[Waiting]:
        """Messages that were not sent, or so long ago that their acknowledgement should have come, oldest first.

        Args:
            most: messages that may be on their way.
            again_s: seconds after which a message is sent again.
            now: a monotonic clock's.
        """
        now = time.monotonic() if now is None else now
        overdue: list[int] = []
        for number, at in self._sent.items():  # in the order of sending
            if now - at < again_s or len(overdue) >= most:
                break
            overdue.append(number)
        waiting = [one for number in overdue if (one := self._message(number)) is not None]
        room = most - len(self._sent)
        if room > 0:
            rows = self._database.execute(
                "SELECT number, subject, device, session, sequence, body, content_type FROM messages"
                " JOIN streams ON streams.id = stream WHERE number > ? AND refused IS NULL ORDER BY number LIMIT ?",
                (self._last, room),
            ).fetchall()
            waiting += [Waiting(row[0], StreamKey(*row[1:4]), *row[4:]) for row in rows]
        return waiting

    def sent(self, numbers: Sequence[int], *, now: float | None = None) -> None:
        """These are on their way."""
        now = time.monotonic() if now is None else now
        for number in numbers:
            self._sent.pop(number, None)
            self._sent[number] = now
            self._last = max(self._last, number)

    def forget(self, acks: Iterable[Ack]) -> int:
        """Remove what is on the project's disk; returns how many messages these were."""
        removed = 0
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for ack in acks:
                following = self.following(ack.key)
                if ack.durable >= following:
                    if following:
                        # Somebody else sends under our names: what they sent is no reason to forget ours.
                        _log.warning("%s: told of message %d, but %d was the last", ack.key, ack.durable, following - 1)
                    continue
                rows = self._database.execute(
                    "DELETE FROM messages WHERE stream=(SELECT id FROM streams WHERE subject=? AND device=? AND"
                    " session=?) AND sequence <= ? AND refused IS NULL RETURNING number",
                    (*ack.key, ack.durable),
                ).fetchall()
                for (number,) in rows:
                    self._sent.pop(number, None)
                removed += len(rows)
        self._waiting -= removed
        return removed

    def remove(self, numbers: Iterable[int]) -> int:
        """Remove messages, each of which is known to be on the project's disk; returns how many these were."""
        removed = 0
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for number in numbers:
                removed += self._database.execute("DELETE FROM messages WHERE number=?", (number,)).rowcount
                self._sent.pop(number, None)
                self._last = max(self._last, number)
        self._waiting -= removed
        return removed

    def is_under_way(self, number: int) -> bool:
        """Whether it was sent by this process and nothing was heard of it."""
        return number in self._sent

    def refuse(self, number: int, reason: str) -> None:
        """Set a message aside that the project does not take; it stays in the file."""
        changed = self._database.execute(
            "UPDATE messages SET refused=? WHERE number=? AND refused IS NULL", (reason, number)
        )
        self._waiting -= changed.rowcount
        self._sent.pop(number, None)
        self._last = max(self._last, number)

    def take_back(self) -> None:
        """Nothing is on its way any more: the connection was lost."""
        self._sent.clear()
        self._last = 0

    @property
    def waiting(self) -> int:
        """Messages that are not known to be on the project's disk, those set aside left out."""
        return self._waiting

    @property
    def refused(self) -> list[str]:
        """Why messages were set aside, one entry each."""
        return [str(row[0]) for row in self._database.execute("SELECT refused FROM messages WHERE refused NOT NULL")]

    def _stream(self, key: StreamKey) -> tuple[int, int]:
        self._database.execute(
            "INSERT OR IGNORE INTO streams (subject, device, session, following) VALUES (?, ?, ?, 0)", key
        )
        row = self._database.execute(
            "SELECT id, following FROM streams WHERE subject=? AND device=? AND session=?", key
        ).fetchone()
        return int(row[0]), int(row[1])

    def _one(self, query: str) -> Any:
        return self._database.execute(query).fetchone()[0]

    def _message(self, number: int) -> Waiting | None:
        rows = self._database.execute(
            "SELECT number, subject, device, session, sequence, body, content_type FROM messages"
            " JOIN streams ON streams.id = stream WHERE number = ?",
            (number,),
        ).fetchall()
        return Waiting(rows[0][0], StreamKey(*rows[0][1:4]), *rows[0][4:]) if rows else None
