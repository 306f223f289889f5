"""One shard: a SQLite file that any process may put messages into, and that one consumer works on.

What is put is on disk when `put` returns (WAL with synchronous=FULL). What a consumer settles is one transaction, which
need not be: after a crash of the machine that took it back, the same messages wait again and give the same rows.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from har.errors import StorageError
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.store._messages import RECEIVERS, UNKNOWN, Put, Refused, Stored
from har.streaming.store._schema import FORMAT, TABLES
from har.streaming.store._sequences import Seen, Sequences

_BUSY_S = 5.0
_KNOWN = 50_000
"""Streams whose sequences are kept in memory; others are read when they are needed."""


class _Stream:
    """A stream as the next `put` needs it, and what this one adds."""

    __slots__ = ("duplicate", "envelope", "id", "received", "rejected", "sequences", "waiting")

    def __init__(self, number: int, sequences: Sequences) -> None:
        self.id = number
        self.sequences = sequences
        self.clear()

    def clear(self) -> None:
        self.received = self.duplicate = self.rejected = self.waiting = 0
        self.envelope: Envelope | None = None


class Shard:
    """One file. Safe to share between threads and processes.

    Args:
        path: the file; made if it is absent.

    Raises:
        StorageError: it can be neither read nor made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._known: dict[StreamKey, _Stream] = {}
        self._keys: dict[int, StreamKey] = {}
        self._puts = -1
        self._sync = ""
        with self._explained():
            self.connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA wal_autocheckpoint=4000")
            with self.transaction(durable=True) as database:
                if not database.execute("SELECT count(*) FROM sqlite_master WHERE name='meta'").fetchone()[0]:
                    for statement in TABLES.split(";"):
                        database.execute(statement)
                    rows = [("format", FORMAT), ("waiting", 0), ("puts", 0), *((f"{name}_at", 0) for name in RECEIVERS)]
                    database.executemany("INSERT INTO meta VALUES(?, ?)", rows)
            found = self.meta("format")
        if found != FORMAT:
            raise StorageError(
                where=str(path),
                expected=f"a stream's store of format {FORMAT}",
                got=f"format {found}",
                remedy="Use the release that wrote it, run `har stream flush` with it, then delete the folder.",
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.connection.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer interrupts; rolled back where the block fails.

        Raises:
            StorageError: the disk is full, or another process held the file for seconds.
        """
        with self._lock, self._explained():
            sync = "FULL" if durable else "NORMAL"
            if sync != self._sync:
                self.connection.execute(f"PRAGMA synchronous={sync}")
                self._sync = sync
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                self._known.clear()
                self._keys.clear()
                self._puts = -1
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                where=str(self.path),
                expected="a file that can be written",
                got=str(error),
                remedy="Free space, or end the program that holds the file. Nothing is lost: what was not stored was "
                "not acknowledged.",
            ) from error

    def query(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows that a statement selects.

        Raises:
            StorageError: the file cannot be read.
        """
        with self._lock, self._explained():
            return self.connection.execute(statement, values).fetchall()

    def meta(self, name: str) -> int:
        """A number of the shard as a whole, such as `waiting`."""
        return int(self.query("SELECT value FROM meta WHERE name=?", (name,))[0][0])

    @property
    def waiting(self) -> int:
        """Messages that wait: not yet looked at, or part of windows in progress."""
        return self.meta("waiting")

    def put(self, envelopes: Sequence[Envelope], refused: Sequence[Refused], received_us: int) -> Put:
        """Store messages, and count those that cannot be used.

        Args:
            envelopes: of subjects of this shard.
            refused: of this shard; those without a key belong to the shard of `UNKNOWN`.
            received_us: wall clock, µs since 1970.

        Raises:
            StorageError: the disk is full, or another process held the file for seconds; nothing was stored.
        """
        with self.transaction(durable=True) as database:
            self._forget_if_changed(database)
            rows = []
            touched: dict[StreamKey, _Stream] = {}
            duplicates = 0
            for one in envelopes:
                stream = touched.get(one.key) or self._touch(database, touched, one.key)
                stream.received += 1
                if stream.sequences.add(one.sequence, one.t0_us, received_us) is Seen.DUPLICATE:
                    stream.duplicate += 1
                    duplicates += 1
                    continue
                stream.waiting += 1
                stream.envelope = one
                rows.append(
                    (
                        stream.id,
                        one.sequence,
                        one.t0_us,
                        one.rate_hz,
                        received_us,
                        one.placement,
                        len(one.samples),
                        one.samples.tobytes(),
                    )
                )
            for bad in refused:
                stream = self._touch(database, touched, bad.key or UNKNOWN)
                stream.received += 1
                stream.rejected += 1
                if bad.key is not None and bad.sequence is not None:
                    stream.sequences.add_refused(bad.sequence, received_us)
            database.executemany(
                "INSERT INTO messages(stream, sequence, t0_us, rate_hz, received_us, placement, rows, samples) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            database.executemany(
                "UPDATE streams SET sequences=?, received=received+?, duplicate=duplicate+?, rejected=rejected+?, "
                "waiting=waiting+?, seen_us=?, skew_us=CASE WHEN ? IS NULL THEN skew_us "
                "WHEN rate_hz=0 THEN ? ELSE min(skew_us, ?) END, rate_hz=coalesce(?, rate_hz), "
                "placement=coalesce(?, placement) WHERE id=?",
                [_changes(stream, received_us) for stream in touched.values()],
            )
            database.execute("UPDATE meta SET value=value+? WHERE name='waiting'", (len(rows),))
        durable = {key: stream.sequences.durable for key, stream in touched.items() if key is not UNKNOWN}
        for stream in touched.values():
            stream.clear()
        return Put(len(rows), duplicates, durable)

    def _touch(self, database: sqlite3.Connection, touched: dict[StreamKey, _Stream], key: StreamKey) -> _Stream:
        stream = touched.get(key)
        if stream is not None:
            return stream
        stream = self._known.get(key)
        if stream is None:
            row = database.execute(
                "SELECT id, sequences FROM streams WHERE subject=? AND device=? AND session=?", key
            ).fetchone()
            if row is None:
                new = database.execute(
                    "INSERT INTO streams(subject, device, session, sequences) VALUES(?, ?, ?, ?)",
                    (*key, Sequences().dumps()),
                )
                stream = _Stream(new.lastrowid or 0, Sequences())
            else:
                stream = _Stream(row[0], Sequences.loads(row[1]))
            if len(self._known) >= _KNOWN:
                for old in list(self._known)[: _KNOWN // 10]:
                    del self._known[old]
            self._known[key] = stream
        touched[key] = stream
        return stream

    def _forget_if_changed(self, database: sqlite3.Connection) -> None:
        """Read streams again if another process has put messages since."""
        query = "UPDATE meta SET value=value+1 WHERE name='puts' RETURNING value"
        (puts,) = database.execute(query).fetchone()
        if puts != self._puts + 1:
            self._known.clear()
        self._puts = puts

    def read(self, after: int, most: int, channels: int) -> tuple[list[Stored], list[int]]:
        """Messages with greater ids than `after`, in the order of receipt, and ids of those with other channels.

        Raises:
            StorageError: the file cannot be read.
        """
        with self._lock, self._explained():
            rows = self.connection.execute(
                "SELECT id, stream, sequence, t0_us, rate_hz, received_us, placement, rows, samples FROM messages "
                "WHERE id>? ORDER BY id LIMIT ?",
                (after, most),
            ).fetchall()
            found, odd = [], []
            for number, stream, sequence, t0_us, rate_hz, received_us, placement, count, content in rows:
                if len(content) != 4 * count * channels:
                    odd.append(number)
                    continue
                samples = np.frombuffer(content, np.float32).reshape(count, channels)
                envelope = Envelope(self.key(stream), sequence, t0_us, rate_hz, samples, placement)
                found.append(Stored(number, received_us, envelope))
            return found, odd

    def key(self, stream: int) -> StreamKey:
        """The stream with this id."""
        key = self._keys.get(stream)
        if key is None:
            row = self.connection.execute("SELECT subject, device, session FROM streams WHERE id=?", (stream,))
            key = StreamKey(*row.fetchone())
            if len(self._keys) >= _KNOWN:
                self._keys.clear()
            self._keys[stream] = key
        return key

    def stream_id(self, key: StreamKey) -> int:
        """The id of a stream that has messages here."""
        known = self._known.get(key)
        if known is not None:
            return known.id
        return int(self.query("SELECT id FROM streams WHERE subject=? AND device=? AND session=?", key)[0][0])

    def track(self, key: StreamKey) -> bytes | None:
        """The state of a stream as it was settled last; None: it has none."""
        rows = self.query(
            "SELECT track FROM tracks WHERE stream=(SELECT id FROM streams WHERE subject=? AND device=? AND session=?)",
            key,
        )
        return rows[0][0] if rows else None

    def smoothing(self) -> Mapping[StreamKey, bytes]:
        """What waits for later windows to be smoothed, by stream."""
        rows = self.query(
            "SELECT s.subject, s.device, s.session, m.state FROM smoothing m JOIN streams s ON s.id=m.stream"
        )
        return {StreamKey(*row[:3]): row[3] for row in rows}

    def person(self, subject: str) -> bytes | None:
        """A subject's day so far, as it was settled last."""
        rows = self.query("SELECT state FROM people WHERE subject=?", (subject,))
        return rows[0][0] if rows else None

    def names(self, date: str, subject: str) -> dict[tuple[str, str, str], str]:
        """What the sessions of a subject's day are called in the lake, by session, device and session of the stream."""
        rows = self.query("SELECT session, device, stream, name FROM names WHERE date=? AND subject=?", (date, subject))
        return {(session, device, stream): name for session, device, stream, name in rows}

    def devices(self, subject: str, most: int) -> list[tuple[str, str, int, int, float, bytes, int, int, int]]:
        """The streams of a subject that came last.

        Returns:
            device, placement, seen_us, skew_us, rate_hz, sequences, late, duplicate and rejected of each.
        """
        return self.query(
            "SELECT device, placement, seen_us, skew_us, rate_hz, sequences, late, duplicate, rejected FROM streams "
            "WHERE subject=? ORDER BY seen_us DESC LIMIT ?",
            (subject, most),
        )


def _changes(stream: _Stream, received_us: int) -> tuple[object, ...]:
    skew = rate = placement = None
    one = stream.envelope
    if one is not None:
        skew = received_us - one.t0_us - round(1e6 * len(one.samples) / one.rate_hz)
        rate, placement = one.rate_hz, one.placement
    return (
        stream.sequences.dumps(),
        stream.received,
        stream.duplicate,
        stream.rejected,
        stream.waiting,
        received_us,
        skew,
        skew,
        skew,
        rate,
        placement,
        stream.id,
    )
