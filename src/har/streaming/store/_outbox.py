"""What waits in a shard for the lake, the hot store and the history, and what is delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from har.streaming.store._messages import RECEIVERS, Outbox, PredictionRow, Receiver, SamplesRow
from har.streaming.store._shard import Shard

Session = tuple[str, str, str]
"""Date, subject and session, as in the lake."""

_MOST_STRETCHES = 20_000
_SESSIONS = "sessions(date, subject, session, row) VALUES(?, ?, ?, ?)"
_KEPT_S = 30 * 86_400
"""A session that got no samples for so long is forgotten; if it gets some after all, the lake knows it."""
_PREDICTION = (
    "id, date, subject, session, request_id, start_us, end_us, activity, confidence, abstained, model_version, "
    "smoothed, unknown, final"
)


def predictions_for(shard: Shard, receiver: Receiver, most: int, *, after: int = 0) -> tuple[list[PredictionRow], int]:
    """The next predictions that a receiver has not got, oldest first, and the id of the last.

    The lake's are final ones. Rows that are not are passed over, and the id is of the last row that was looked at.
    `after`: the receiver has those up to this id, although the store does not say so yet.
    """
    rows = shard.query(
        f"SELECT {_PREDICTION} FROM predictions WHERE id>max(?, (SELECT value FROM meta WHERE name=?)) "  # noqa: S608
        "ORDER BY id LIMIT ?",
        (after, f"{receiver}_at", most),
    )
    found = [_prediction(row) for row in rows]
    return [one for one in found if one.final or receiver != "lake"], rows[-1][0] if rows else 0


def _prediction(row: Sequence[object]) -> PredictionRow:
    values = list(row[1:])
    values[8], values[12] = bool(values[8]), bool(values[12])
    values[11] = None if values[11] is None else bool(values[11])
    return PredictionRow(*values)  # type: ignore[arg-type]


def outbox_for_lake(shard: Shard, most_predictions: int, most_samples: int) -> Outbox:
    """The next rows for the lake, oldest first: of samples, stretches until there are `most_samples`."""
    predictions, last = predictions_for(shard, "lake", most_predictions)
    total = last_sample = 0
    sizes = shard.query("SELECT id, rows FROM samples ORDER BY id LIMIT ?", (_MOST_STRETCHES,))
    for number, count in sizes:
        if last_sample and total + count > most_samples:
            break
        total += count
        last_sample = number
    found = shard.query(
        "SELECT date, subject, session, segment, device, placement, rate_hz, resampled, times, samples, flags "
        "FROM samples WHERE id<=? ORDER BY id",
        (last_sample,),
    )
    return Outbox(predictions, last, [SamplesRow(*row) for row in found], last_sample)


def sessions(shard: Shard, wanted: Sequence[Session]) -> dict[Session, bytes]:
    """The rows of `recordings` of these sessions as they were committed last, as bytes."""
    found: dict[Session, bytes] = {}
    for key in wanted:
        rows = shard.query("SELECT row FROM sessions WHERE date=? AND subject=? AND session=?", key)
        found.update((key, row[0]) for row in rows)
    return found


def note_sessions(shard: Shard, rows: Mapping[Session, bytes]) -> None:
    """Keep rows of `recordings` of these sessions, as they are before a commit."""
    if rows:
        with shard.transaction(durable=True) as database:
            values = [(*key, row) for key, row in rows.items()]
            database.executemany(f"INSERT OR REPLACE INTO {_SESSIONS}", values)


def delivered_to_lake(
    shard: Shard, outbox: Outbox, rows: Mapping[Session, bytes], *, receivers: Sequence[Receiver]
) -> None:
    """Remove what the lake has; predictions stay until the other receivers have them, too.

    Args:
        shard: of the outbox.
        outbox: what was committed.
        rows: of `recordings`, by session.
        receivers: of predictions, besides the lake.
    """
    with shard.transaction(durable=True) as database:
        database.execute("DELETE FROM samples WHERE id<=?", (outbox.last_sample,))
        values = [(*key, row) for key, row in rows.items()]
        database.executemany(f"INSERT OR REPLACE INTO {_SESSIONS}", values)
        database.execute("DELETE FROM sessions WHERE at < unixepoch() - ?", (_KEPT_S,))
        database.execute("DELETE FROM names WHERE at < unixepoch() - ?", (_KEPT_S,))
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
    found = {"samples": int(shard.query("SELECT count(*) FROM samples")[0][0])}
    for name in RECEIVERS:
        query = "SELECT count(*) FROM predictions WHERE id>(SELECT value FROM meta WHERE name=?)"
        found[name] = int(shard.query(query, (f"{name}_at",))[0][0])
    return found
