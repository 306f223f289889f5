"""Figures of the stream: the ledger, what waits, where answers have arrived; of all consumers of a folder together."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path

from har.settings import Settings
from har.streaming.state import HOT_FILE, open_hot, open_read_only
from har.streaming.store import database, known_shards
from infra.observability.figures._metric import Gauge, gauge

FATES = ("scored", "waiting", "late", "duplicate", "rejected")
LATELY_S = 300
"""Who sent something within this time is measuring now."""

_STREAMS = """
SELECT coalesce(sum(received), 0), coalesce(sum(scored), 0), coalesce(sum(late), 0), coalesce(sum(duplicate), 0),
       coalesce(sum(rejected), 0), coalesce(sum(windows), 0), coalesce(max(seen_us), 0) FROM streams
"""
_DEVICES = "SELECT count(DISTINCT subject || char(0) || device) FROM streams WHERE seen_us >= ? AND device != ''"


def stream(settings: Settings) -> list[Gauge]:
    """The ledger's totals, the age of what waits, and what the lake, the hot store and the history have not got yet.

    Raises:
        sqlite3.Error: a shard cannot be read.
    """
    folder = settings.path("stream")
    receivers = ["lake", "hot", *(["history"] if settings.stream.history.address else [])]
    counts: Counter[str] = Counter()
    undelivered: Counter[str] = Counter()
    delivered: Counter[str] = Counter()
    oldest: list[int] = []
    newest = 0
    paths = [database(folder, number) for number in range(known_shards(folder))]
    present = [path for path in paths if path.exists()]
    for path in present:
        newest = max(newest, _read(path, receivers, counts, undelivered, delivered, oldest))
    known = bool(present)
    difference = counts["received"] - sum(counts[fate] for fate in FATES)
    return [
        gauge("stream_received", "Messages that came", counts["received"] if known else None),
        gauge(
            "stream_messages",
            "Messages by what became of them",
            {fate: counts[fate] for fate in FATES} if known else {},
            labels=["fate"],
        ),
        gauge("stream_ledger_difference", "Messages without a fate, or with two", difference if known else None),
        gauge("stream_windows", "Windows answered", counts["windows"] if known else None),
        gauge(
            "stream_oldest_waiting_timestamp_seconds",
            "When the message that has waited longest was received",
            min(oldest) / 1e6 if oldest else None,
        ),
        gauge(
            "stream_last_message_timestamp_seconds",
            "When the newest message was received",
            newest / 1e6 if newest else None,
        ),
        gauge(
            "stream_devices", f"Devices that sent something within {LATELY_S} s", counts["devices"] if known else None
        ),
        gauge("stream_queue_limit", "So many messages may wait", settings.stream.queue_messages),
        gauge(
            "stream_undelivered",
            "Predictions that a receiver has not got yet",
            dict(undelivered) if known else {},
            labels=["to"],
        ),
        gauge(
            "stream_delivered",
            "Numbers of the predictions that a receiver got last, added up over the shards",
            dict(delivered) if known else {},
            labels=["to"],
        ),
        gauge(
            "stream_samples_undelivered", "Samples that the lake has not got yet", counts["samples"] if known else None
        ),
    ]


def hot_store(settings: Settings) -> list[Gauge]:
    """How many subjects the hot store knows, who measures now, and whose last window is unlike the training data.

    Raises:
        StateError: it is away.
    """
    live = unknown = subjects = None
    if settings.stream.hot.address or (settings.path("stream") / HOT_FILE).exists():
        with contextlib.closing(open_hot(settings, read_only=True)) as hot:
            found = hot.subjects()
        since = (time.time() - LATELY_S) * 1e6
        present = [state for state in found if state.seen_us >= since]
        subjects, live = len(found), len(present)
        unknown = sum(state.answer.unknown for state in present)
    return [
        gauge("stream_subjects", "Subjects in the hot store", subjects),
        gauge("stream_subjects_live", f"Subjects whose devices sent something within {LATELY_S} s", live),
        gauge("stream_subjects_unknown", "Of these, subjects whose last window is unlike the training data", unknown),
    ]


def _read(
    path: Path,
    receivers: list[str],
    counts: Counter[str],
    undelivered: Counter[str],
    delivered: Counter[str],
    oldest: list[int],
) -> int:
    """Add a shard's figures, of one moment; returns when its newest message was received, in µs."""
    with contextlib.closing(open_read_only(path)) as shard:
        shard.execute("BEGIN")
        meta = dict(shard.execute("SELECT name, value FROM meta").fetchall())
        names = ("received", "scored", "late", "duplicate", "rejected", "windows")
        *totals, newest = shard.execute(_STREAMS).fetchone()
        counts.update(dict(zip(names, totals, strict=True)))
        counts["waiting"] += shard.execute("SELECT count(*) FROM messages").fetchone()[0]
        oldest += [at for (at,) in shard.execute("SELECT received_us FROM messages ORDER BY id LIMIT 1")]
        counts["devices"] += shard.execute(_DEVICES, ((time.time() - LATELY_S) * 1e6,)).fetchone()[0]
        counts["samples"] += shard.execute("SELECT coalesce(sum(rows), 0) FROM samples").fetchone()[0]
        for name in receivers:
            at = int(meta.get(f"{name}_at", 0))
            delivered[name] += at
            undelivered[name] += shard.execute("SELECT count(*) FROM predictions WHERE id > ?", (at,)).fetchone()[0]
    return int(newest)
