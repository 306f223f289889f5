"""Settle answered windows in one transaction: messages, states of streams, counts and outbox change together."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter

import numpy as np

from har.streaming.envelope import StreamKey
from har.streaming.store._messages import Settlement
from har.streaming.store._shard import Shard


def settle(shard: Shard, done: Settlement) -> int:
    """Store what was answered. Repeating it after a crash that took it back gives the same.

    Args:
        shard: whose messages they are.
        done: what changes.

    Returns:
        The id of the last prediction; 0: there are none.

    Raises:
        StorageError: the disk is full, or another process held the file for seconds; nothing changed.
    """
    with shard.transaction(durable=False) as database:
        counts = _Counts(shard, database)
        fates = {"scored": done.scored, "late": done.late, "duplicate": done.duplicate, "rejected": done.rejected}
        gone = sum(counts.take(fate, ids) for fate, ids in fates.items())
        for _, stretch in done.stretches:
            counts.add(stretch.key, "samples", len(stretch.times))
        for name, found in (("windows", done.windows), ("short", done.short)):
            for key, count in found.items():
                counts.add(key, name, count)
        counts.write()
        database.execute("UPDATE meta SET value=value-? WHERE name='waiting'", (gone,))
        for table, states in (("tracks", done.tracks), ("smoothing", done.smoothing)):
            over = [(counts.id(key),) for key, state in states.items() if state is None]
            database.executemany(f"DELETE FROM {table} WHERE stream=?", over)  # noqa: S608  one of two names
            live = [(counts.id(key), state) for key, state in states.items() if state is not None]
            database.executemany(f"INSERT OR REPLACE INTO {table} VALUES(?, ?)", live)
        database.executemany(
            "INSERT OR REPLACE INTO names(date, subject, session, device, stream, name) VALUES(?, ?, ?, ?, ?, ?)",
            [(*key, name) for key, name in done.names.items()],
        )
        if done.hot:
            database.execute("UPDATE meta SET value=? WHERE name='hot_at'", (done.hot,))
        database.executemany("INSERT OR REPLACE INTO people VALUES(?, ?)", done.people.items())
        database.executemany(
            "INSERT INTO predictions(date, subject, session, request_id, start_us, end_us, activity, confidence, "
            "abstained, model_version, smoothed, unknown, final) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    one.date,
                    one.subject,
                    one.session,
                    one.request_id,
                    one.start_us,
                    one.end_us,
                    one.activity,
                    one.confidence,
                    one.abstained,
                    one.model_version,
                    one.smoothed,
                    one.unknown,
                    one.final,
                )
                for one in done.predictions
            ],
        )
        last = int(database.execute("SELECT last_insert_rowid()").fetchone()[0]) if done.predictions else 0
        database.executemany(
            "INSERT INTO samples(date, subject, session, segment, device, placement, rate_hz, resampled, rows, times, "
            "samples, flags) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    stretch.date.isoformat(),
                    stretch.key.subject,
                    name,
                    stretch.segment,
                    stretch.key.device,
                    stretch.placement,
                    stretch.rate_hz,
                    stretch.resampled,
                    len(stretch.times),
                    np.ascontiguousarray(stretch.times, np.int64).tobytes(),
                    np.ascontiguousarray(stretch.values, np.float32).tobytes(),
                    np.ascontiguousarray(stretch.flags, np.int8).tobytes(),
                )
                for name, stretch in done.stretches
            ],
        )
    return last


class _Counts:
    """What a settlement adds to the counts of streams."""

    def __init__(self, shard: Shard, database: sqlite3.Connection) -> None:
        self._shard = shard
        self._database = database
        self._ids: dict[StreamKey, int] = {}
        self._added: dict[int, Counter[str]] = {}

    def id(self, key: StreamKey) -> int:
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = self._shard.stream_id(key)
        return number

    def add(self, key: StreamKey, name: str, count: int) -> None:
        self._added.setdefault(self.id(key), Counter())[name] += count

    def take(self, name: str, ids: list[int]) -> int:
        """Remove messages that wait, and count those that were there."""
        if not ids:
            return 0
        query = "DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?)) RETURNING stream"
        streams = Counter(row[0] for row in self._database.execute(query, (json.dumps(ids),)).fetchall())
        for stream, count in streams.items():
            added = self._added.setdefault(stream, Counter())
            added[name] += count
            added["gone"] += count
        return streams.total()

    def write(self) -> None:
        names = ("scored", "late", "duplicate", "rejected", "samples", "windows", "short")
        sums = ", ".join(f"{name}={name}+?" for name in names)
        self._database.executemany(
            f"UPDATE streams SET {sums}, waiting=waiting-? WHERE id=?",  # noqa: S608  the names above
            [(*(added[name] for name in names), added["gone"], number) for number, added in self._added.items()],
        )
