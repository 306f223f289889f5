"""From a shard's outbox into the lake, each row once: samples, then their rows in `recordings`, then predictions.

A run that is killed in between is repeated with the same result: rows have keys, and what the outbox holds is removed
only after all three commits.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from har.files import write_atomically
from har.lake import Lake
from har.schema import TIME
from har.settings import Settings
from har.streaming.sinks._checking import Checker
from har.streaming.sinks._recordings import FILE, Session
from har.streaming.store import (
    Outbox,
    PredictionRow,
    Receiver,
    SamplesRow,
    Shard,
    delivered_to_lake,
    note_sessions,
    outbox_for_lake,
    sessions,
)

_MOST_PREDICTIONS = 100_000
_MOST_SAMPLES = 2_000_000
"""Per commit; they bound the memory."""
_MOST_MERGED = 20
"""Partitions whose small files are merged after a commit: each is a commit of its own, and subjects may be many."""

_Key = tuple[str, str, str]


@dataclass
class Sunk:
    """What was committed: new rows in `samples` and `predictions`, sessions that grew, and samples in quarantine."""

    samples: int = 0
    predictions: int = 0
    sessions: int = 0
    quarantined: int = 0

    def add(self, other: Sunk) -> None:
        """Add the counts of another commit."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class _Batch:
    """The samples of a commit."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    states: dict[_Key, Session] = field(default_factory=dict)
    refused: set[_Key] = field(default_factory=set)


class _Samples(NamedTuple):
    """A stretch of samples, as the outbox has it."""

    row: SamplesRow
    times: NDArray[np.int64]
    values: NDArray[np.float32]
    flags: NDArray[np.int8]


class LakeSink:
    """Commits the outbox of shards to the lake.

    Args:
        settings: of the project.
        lake: its tables.
        receivers: of predictions, besides the lake; they stay in the outbox until all have them.
    """

    def __init__(self, settings: Settings, lake: Lake, receivers: Sequence[Receiver] = ()) -> None:
        self._settings = settings
        self._lake = lake
        self._receivers = receivers
        self._checker = Checker(settings)
        self._period_us = 1e6 / settings.sensors.rate_hz

    def drain(self, shard: Shard) -> Sunk:
        """Commit all that the outbox of a shard holds; nothing if another process is at it.

        Raises:
            LakeError: a table cannot be written; what was not committed stays in the outbox.
            StorageError: the store cannot be read or written.
        """
        sunk = Sunk()
        try:
            with FileLock(shard.path.with_suffix(".lake.lock"), timeout=0):
                while True:
                    outbox = outbox_for_lake(shard, _MOST_PREDICTIONS, _MOST_SAMPLES)
                    if not outbox.last_sample and not outbox.last_prediction:
                        return sunk
                    sunk.add(self._commit(shard, outbox))
        except Timeout:
            return sunk

    def _commit(self, shard: Shard, outbox: Outbox) -> Sunk:
        sunk = Sunk()
        batch = self._batch(shard, outbox)
        lake = self._lake
        if batch.frames:
            samples = pl.concat(batch.frames)
            sunk.samples = lake.samples.add(samples, ("session", "time"))
            sunk.sessions = self._record(batch)
            lake.samples.compact(samples.select("date", "subject").unique().rows(), most=_MOST_MERGED)
        sunk.quarantined = sum(1 for one in outbox.samples if one[:3] in batch.refused)
        kept = [one for one in outbox.predictions if (one.date, one.subject, one.session) not in batch.refused]
        if kept:
            frame = _predictions(kept, lake)
            sunk.predictions = lake.predictions.add(frame, ("request_id", "start"))
            lake.predictions.compact(frame.select("date", "subject").unique().rows(), most=_MOST_MERGED)
        delivered_to_lake(
            shard,
            outbox,
            {key: state.dumps() for key, state in batch.states.items()},
            receivers=self._receivers,
        )
        return sunk

    def _batch(self, shard: Shard, outbox: Outbox) -> _Batch:
        batch = _Batch()
        grouped: dict[_Key, list[_Samples]] = {}
        channels = len(self._lake.channels)
        for row in outbox.samples:
            stretch = _Samples(
                row,
                np.frombuffer(row.times, np.int64),
                np.frombuffer(row.values, np.float32).reshape(-1, channels),
                np.frombuffer(row.flags, np.int8),
            )
            grouped.setdefault(row[:3], []).append(stretch)
        states, problems = self._states(shard, list(grouped))
        after_us = {key: state.last_us for key, state in states.items()}
        frames = {key: self._frame(key, states[key], stretches) for key, stretches in grouped.items()}
        problems = {**self._checker.problems(frames, after_us), **problems}
        for key, frame in frames.items():
            if key in problems:
                batch.refused.add(key)
                self._quarantine(key, frame, problems[key])
            else:
                batch.states[key] = states[key]
                batch.frames.append(frame)
        return batch

    def _states(self, shard: Shard, keys: Sequence[_Key]) -> tuple[dict[_Key, Session], dict[_Key, str]]:
        """What each session has in the lake before this commit; and the problems of those that are not ours.

        It is noted in the store before the commit, so that a repeated commit starts from the same.
        """
        known = sessions(shard, keys)
        in_lake = self._known_to_lake([key for key in keys if key not in known])
        states, problems, new = {}, {}, {}
        for key in keys:
            if key in known:
                states[key] = Session.loads(known[key])
                continue
            state = in_lake.get(key, Session())
            if state is None:
                problems[key] = "a session of this name was ingested from a file"
            else:
                new[key] = state.dumps()
            states[key] = state or Session()
        note_sessions(shard, new)
        return states, problems

    def _frame(
        self,
        key: _Key,
        state: Session,
        stretches: Sequence[_Samples],
    ) -> pl.DataFrame:
        date, subject, session = key
        numbers = []
        for one in stretches:
            numbers.append(state.number(one.row.segment, int(one.times[0]), self._period_us))
            state.add(one.row, one.times, one.values, one.flags)
        counts = [len(one.times) for one in stretches]
        values = np.concatenate([one.values for one in stretches])
        return pl.DataFrame(
            {
                "date": pl.repeat(dt.date.fromisoformat(date), len(values), dtype=pl.Date, eager=True),
                "subject": pl.repeat(subject, len(values), eager=True),
                "session": pl.repeat(session, len(values), eager=True),
                "segment": np.repeat(np.array(numbers, np.int32), counts),
                "time": pl.Series(np.concatenate([one.times for one in stretches])).cast(TIME),
                **{name: values[:, column] for column, name in enumerate(self._lake.channels)},
                "activity": pl.repeat(None, len(values), dtype=pl.String, eager=True),
                "flags": np.concatenate([one.flags for one in stretches]),
            },
            schema_overrides=dict(self._lake.samples.schema),
        )

    def _known_to_lake(self, keys: Sequence[_Key]) -> dict[_Key, Session | None]:
        """Of sessions that the store does not know, those that the lake has, as it has them; None: it is a file's."""
        wanted = set(keys)
        partitions = sorted({(dt.date.fromisoformat(date), subject) for date, subject, _ in keys})
        # One look for all: each reads the table's log, which is long where subjects are many.
        rows = self._lake.recordings.read(partitions=partitions).iter_rows(named=True) if partitions else ()
        found: dict[_Key, Session | None] = {}
        for row in rows:
            key = row["date"].isoformat(), row["subject"], row["session"]
            if key in wanted:
                found[key] = self._session(key, row) if (row["file"] or "").startswith(FILE) else None
        return found

    def _session(self, key: _Key, row: dict[str, Any]) -> Session:
        """A session that a stream wrote, and that the store has forgotten."""
        date, subject, session = key
        last = self._lake.samples.collect(
            self._lake.samples.scan(partitions=[(dt.date.fromisoformat(date), subject)])
            .filter(pl.col("session") == session)
            .select(pl.col("time").max(), pl.col("segment").max())
        )
        time, segment = last.row(0)
        if time is None:
            return Session()
        return Session.of_row(row, last_us=int(last["time"].to_physical()[0]), segment=segment)

    def _record(self, batch: _Batch) -> int:
        """Write the rows of the sessions that grew, in place of those before."""
        now = dt.datetime.now(dt.UTC)
        rate_hz = self._settings.sensors.rate_hz
        rows = [
            state.row(dt.date.fromisoformat(date), subject, session, rate_hz, now)
            for (date, subject, session), state in batch.states.items()
        ]
        table = self._lake.recordings
        written = pl.DataFrame(rows, dict(table.schema), orient="row")
        partitions = written.select("date", "subject").unique().rows()

        def write() -> None:
            stored = table.read(partitions=partitions)
            others = stored.join(written, on=["date", "subject", "session"], how="anti")
            table.replace(pl.concat([others, written]).sort("date", "subject", "session"), partitions)

        table.step(write)
        return len(rows)

    def _quarantine(self, key: _Key, frame: pl.DataFrame, problem: str) -> None:
        """Keep samples that the lake does not take, with the reason beside them."""
        date, subject, session = key
        first = frame["time"].to_physical()[0]
        folder: Path = self._settings.path("quarantine") / "stream" / date
        path = folder / f"{subject}_{session}-{first}.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        note = {
            "session": session,
            "subject": subject,
            "date": date,
            "samples": len(frame),
            "reason": problem,
            "remedy": "Mend the device or its settings; the samples are in the file beside this note.",
        }
        write_atomically(path.with_suffix(".json"), json.dumps(note, indent=2, ensure_ascii=False) + "\n")
        frame.write_parquet(path)


def _predictions(rows: Sequence[PredictionRow], lake: Lake) -> pl.DataFrame:
    schema = lake.predictions.schema
    columns = {
        "date": pl.Series([row.date for row in rows]).str.to_date(),
        "subject": [row.subject for row in rows],
        "session": [row.session for row in rows],
        "start": pl.Series([row.start_us for row in rows]).cast(TIME),
        "end": pl.Series([row.end_us for row in rows]).cast(TIME),
        "activity": [row.activity for row in rows],
        "confidence": [row.confidence for row in rows],
        "abstained": [row.abstained for row in rows],
        "model_version": [row.model_version for row in rows],
        "request_id": [row.request_id for row in rows],
        "smoothed": [row.smoothed or None for row in rows],
        "unknown": [row.unknown for row in rows],
    }
    chosen = {name: values for name, values in columns.items() if name in schema}
    return pl.DataFrame(chosen, schema_overrides=dict(schema)).select(schema.names())
