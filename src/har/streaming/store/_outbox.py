"""What waits in a shard for the lake, the hot store and the history, and what is delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from har.streaming.store._messages import Outbox, PredictionRow
from har.streaming.store._shard import Shard

Receiver = Literal["lake", "hot", "history"]
Session = tuple[str, str, str]
"""Date, subject and session, as in the lake."""

_PREDICTION = (
    "id, date, subject, session, request_id, start_us, end_us, activity, confidence, abstained, model_version, "
    "smoothed, unknown"
)


def predictions_for(shard: Shard, receiver: Receiver, most: int) -> tuple[list[PredictionRow], int]:
    """The next predictions that a receiver has not got, oldest first, and the id of the last."""
    with shard._lock, shard._explained():
        rows = shard.connection.execute(
            f"SELECT {_PREDICTION} FROM predictions WHERE id>(SELECT value FROM meta WHERE name=?) "  # noqa: S608
            "ORDER BY id LIMIT ?",
            (f"{receiver}_at", most),
        ).fetchall()
    return [_prediction(row) for row in rows], rows[-1][0] if rows else 0


def _prediction(row: Sequence[object]) -> PredictionRow:
    values = list(row[1:])
    values[8], values[11] = bool(values[8]), bool(values[11])
    return PredictionRow(*values)  # type: ignore[arg-type]


def outbox_for_lake(shard: Shard, most_predictions: int, most_samples: int) -> Outbox:
    """The next rows for the lake, oldest first: of samples, stretches until there are `most_samples`."""
    predictions, last = predictions_for(shard, "lake", most_predictions)
    found: list[tuple[str, str, str, int, str, str, bytes, bytes, bytes]] = []
    total = last_sample = 0
    with shard._lock, shard._explained():
        rows = shard.connection.execute(
            "SELECT id, rows, date, subject, session, segment, device, placement, times, samples, flags FROM samples "
            "ORDER BY id"
        )
        for number, count, *stretch in rows:
            if found and total + count > most_samples:
                break
            found.append(tuple(stretch))
            total += count
            last_sample = number
        rows.close()
    return Outbox(predictions, last, found, last_sample)


def sessions(shard: Shard, wanted: Sequence[Session]) -> dict[Session, bytes]:
    """The rows of `recordings` of these sessions as they were committed last, as bytes."""
    found = {}
    with shard._lock, shard._explained():
        for key in wanted:
            query = "SELECT row FROM sessions WHERE date=? AND subject=? AND session=?"
            row = shard.connection.execute(query, key).fetchone()
            if row is not None:
                found[key] = row[0]
    return found


def delivered_to_lake(
    shard: Shard, outbox: Outbox, rows: Mapping[Session, bytes], *, forget_before: str, receivers: Sequence[Receiver]
) -> None:
    """Remove what the lake has; predictions stay until the other receivers have them, too.

    Args:
        shard: of the outbox.
        outbox: what was committed.
        rows: of `recordings`, by session.
        forget_before: dates before this one have no further samples; their rows are in the lake.
        receivers: of predictions, besides the lake.
    """
    with shard.transaction(durable=True) as database:
        database.execute("DELETE FROM samples WHERE id<=?", (outbox.last_sample,))
        database.executemany(
            "INSERT OR REPLACE INTO sessions VALUES(?, ?, ?, ?)", [(*key, row) for key, row in rows.items()]
        )
        database.execute("DELETE FROM sessions WHERE date<?", (forget_before,))
        database.execute("DELETE FROM names WHERE date<?", (forget_before,))
    delivered(shard, "lake", outbox.last_prediction, receivers=receivers)


def delivered(shard: Shard, receiver: Receiver, last: int, *, receivers: Sequence[Receiver]) -> None:
    """Note that a receiver has the predictions up to an id; remove those that all of them have."""
    if not last:
        return
    with shard.transaction(durable=False) as database:
        database.execute("UPDATE meta SET value=max(value, ?) WHERE name=?", (last, f"{receiver}_at"))
        names = ["lake_at", *(f"{name}_at" for name in receivers)]
        marks = ", ".join("?" * len(names))
        query = f"SELECT min(value) FROM meta WHERE name IN ({marks})"  # noqa: S608  question marks only
        database.execute("DELETE FROM predictions WHERE id<=?", database.execute(query, names).fetchone())


def outbox_sizes(shard: Shard) -> dict[str, int]:
    """How many predictions each receiver has not got yet, and how many stretches of samples wait for the lake."""
    with shard._lock, shard._explained():
        run = shard.connection.execute
        found = {"samples": int(run("SELECT count(*) FROM samples").fetchone()[0])}
        for name in ("lake", "hot", "history"):
            query = "SELECT count(*) FROM predictions WHERE id>(SELECT value FROM meta WHERE name=?)"
            found[name] = int(run(query, (f"{name}_at",)).fetchone()[0])
        return found
