"""Put messages into the durable store, from any process: the online service's `POST /samples` and every consumer.

There is no other queue: a message that was put waits in its subject's shard until the consumer that owns the shard has
answered its windows. Needs sqlite3, numpy and msgspec only.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.store import UNKNOWN, Refused, Shard, count_of_shards, database, shard_of

__all__ = ["Placed", "Quarantine", "Queue", "Refused", "open_queue"]

_LOOK_S = 0.1
_QUARANTINE_BYTES = 64_000_000
"""Of refused and late messages that are kept; the older half is dropped when there are more."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to messages.

    Attributes:
        full: too many messages wait; none of these was stored, and their sender tries again later (429).
        accepted: messages that are durable now.
        duplicates: messages that were durable before.
        refused: messages that cannot be used, which were counted and set aside.
        durable: per stream among them, the sequence up to which all its messages are durable; -1: not even the first.
    """

    full: bool = False
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    durable: dict[StreamKey, int] = field(default_factory=dict)


class Queue:
    """The store's side for those who put messages; safe to share between threads.

    Args:
        folder: `paths.stream`.
        shards: `stream.shards`, which counts where the folder is made.
        most: `stream.queue_messages`.
        quarantine: `paths.quarantine`; refused messages are kept in its folder `stream`.

    Raises:
        StorageError: the folder cannot be made or read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        shards: int,
        most: int,
        quarantine: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.most = most
        self.quarantine = Quarantine(quarantine)
        self._clock = clock
        self.shards = [Shard(database(folder, number)) for number in range(count_of_shards(folder, shards))]
        self._waiting = 0
        self._looked = -1.0

    def close(self) -> None:
        """Close the files."""
        for shard in self.shards:
            shard.close()

    def now_us(self) -> int:
        """The wall clock, µs since 1970."""
        return round(self._clock() * 1e6)

    def waiting(self) -> int:
        """Messages that wait in all shards, as of the last tenth of a second."""
        now = time.monotonic()
        if not 0 <= now - self._looked < _LOOK_S:
            self._waiting = sum(shard.waiting for shard in self.shards)
            self._looked = now
        return self._waiting

    def put(self, envelopes: Sequence[Envelope], refused: Sequence[Refused] = (), *, force: bool = False) -> Placed:
        """Store messages; when this returns, and the answer is not `full`, they are on disk.

        Args:
            envelopes: the messages.
            refused: messages that cannot be used; they are counted in the ledger and kept in quarantine.
            force: even if the queue is full: the consumer does so with what a source had sent before it was paused.

        Raises:
            StorageError: the disk is full, or another process held a file for seconds. Messages of other shards may be
                stored; sent again, they are duplicates.
        """
        if envelopes and not force and self.waiting() + len(envelopes) > max(self.most, len(envelopes)):
            return Placed(full=True)
        if refused:
            self.quarantine.keep("refused", refused)
        parts: dict[int, tuple[list[Envelope], list[Refused]]] = {}
        count = len(self.shards)
        for one in envelopes:
            parts.setdefault(shard_of(one.key.subject, count), ([], []))[0].append(one)
        for bad in refused:
            parts.setdefault(shard_of((bad.key or UNKNOWN).subject, count), ([], []))[1].append(bad)
        now_us = self.now_us()
        accepted = duplicates = 0
        durable: dict[StreamKey, int] = {}
        for number, (good, bad_ones) in sorted(parts.items()):
            put = self.shards[number].put(good, bad_ones, now_us)
            accepted += put.accepted
            duplicates += put.duplicates
            durable.update(put.durable)
        self._waiting += accepted
        return Placed(False, accepted, duplicates, len(refused), durable)


def open_queue(settings: Settings, *, clock: Callable[[], float] = time.time) -> Queue:
    """The queue of a project.

    Raises:
        StorageError: its folder cannot be made or read.
    """
    stream = settings.stream
    return Queue(
        settings.path("stream"),
        shards=stream.shards,
        most=stream.queue_messages,
        quarantine=settings.path("quarantine"),
        clock=clock,
    )


class Quarantine:
    """Messages that are no part of the lake, with the reason: `refused.jsonl` and `late.jsonl`, bounded.

    Args:
        folder: `paths.quarantine`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "stream"
        self._lock = threading.Lock()

    def keep(self, kind: str, messages: Sequence[Refused]) -> None:
        """Append messages; each line has `reason`, `subject`, `device`, `session`, `sequence` and `body` in base64.

        Raises:
            OSError: the disk refuses.
        """
        lines = [
            json.dumps(
                {
                    "at": round(time.time(), 3),
                    "reason": one.reason,
                    **(one.key._asdict() if one.key else {}),
                    "sequence": one.sequence,
                    "body": base64.b64encode(one.body).decode(),
                }
            )
            for one in messages
        ]
        path = self.folder / f"{kind}.jsonl"
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > _QUARANTINE_BYTES // 2:
                path.replace(path.with_suffix(".older.jsonl"))
            with path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
