"""The durable store: one SQLite file per shard holds what was received, states of streams, counts and the outbox.

Needs sqlite3, numpy and msgspec only, so that the online service can put messages into it.
"""

from har.streaming.store._folder import count_of_shards, database, known_shards, shard_of
from har.streaming.store._messages import (
    RECEIVERS,
    UNKNOWN,
    Outbox,
    PredictionRow,
    Put,
    Receiver,
    Refused,
    SamplesRow,
    Settlement,
    Stored,
)
from har.streaming.store._outbox import (
    Session,
    delivered,
    delivered_to_lake,
    note_sessions,
    outbox_for_lake,
    outbox_sizes,
    predictions_for,
    sessions,
)
from har.streaming.store._sequences import Seen, Sequences
from har.streaming.store._settling import settle
from har.streaming.store._shard import Shard

__all__ = [
    "RECEIVERS",
    "UNKNOWN",
    "Outbox",
    "PredictionRow",
    "Put",
    "Receiver",
    "Refused",
    "SamplesRow",
    "Seen",
    "Sequences",
    "Session",
    "Settlement",
    "Shard",
    "Stored",
    "count_of_shards",
    "database",
    "delivered",
    "delivered_to_lake",
    "known_shards",
    "note_sessions",
    "outbox_for_lake",
    "outbox_sizes",
    "predictions_for",
    "sessions",
    "settle",
    "shard_of",
]
