"""What the exporter says of the stream: of all shards together, whoever works on them, and without writing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hot_support import state

from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.ledger import read_ledger
from har.streaming.queue import Queue, Refused, open_queue
from har.streaming.state import open_hot
from har.streaming.state._state import now_us
from har.streaming.store import database, shard_of
from infra.observability.figures import hot_store, stream

SUBJECTS = [f"S{number:02}" for number in range(12)]
_PREDICTION = (
    "INSERT INTO predictions(date, subject, session, request_id, start_us, end_us, activity, confidence, abstained, "
    "model_version, smoothed, unknown, final) "
    "VALUES('2026-11-27', ?, 'a', 'stream-1', 0, 4, 'PEN', 0.5, 0, 1, '', 0, 1)"
)


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    made = open_queue(settings)
    yield made
    made.close()


def figures(read: Callable[[Settings], list], settings: Settings) -> dict[str, float]:
    return {
        "/".join([one.name.removeprefix("har_stream_"), *one.labels.values()]): one.value
        for metric in read(settings)
        for one in metric.samples
    }


def _message(subject: str, sequence: int) -> Envelope:
    samples = np.zeros((100, 6), np.float32)
    return Envelope(StreamKey(subject, "watch", "a"), sequence, now_us() + sequence * 2_000_000, 50.0, samples)


def test_the_figures_of_all_shards_are_those_of_the_ledger(settings: Settings, queue: Queue) -> None:
    before = time.time()
    queue.put([_message(subject, sequence) for subject in SUBJECTS for sequence in range(3)])
    queue.put([_message(subject, 0) for subject in SUBJECTS[:5]], [Refused("not JSON", b"{")])

    found = figures(stream, settings)

    total = read_ledger(settings.path("stream")).total
    assert (total.received, total.waiting, total.duplicate, total.rejected) == (42, 36, 5, 1)
    assert {fate: found[f"messages/{fate}"] for fate in ("scored", "waiting", "late", "duplicate", "rejected")} == {
        "scored": 0,
        "waiting": 36,
        "late": 0,
        "duplicate": 5,
        "rejected": 1,
    }
    assert (found["received"], found["ledger_difference"], found["devices"]) == (42, 0, 12)
    assert before <= found["oldest_waiting_timestamp_seconds"] <= found["last_message_timestamp_seconds"] <= time.time()
    assert found["queue_limit"] == settings.stream.queue_messages


def test_a_message_without_a_fate_shows(settings: Settings, queue: Queue) -> None:
    queue.put([_message("S01", 0), _message("S01", 1)])
    with closing(_shard(settings, queue, "S01")) as shard:
        shard.execute("DELETE FROM messages WHERE sequence = 0")
        shard.execute("UPDATE streams SET scored = scored + 3")
        shard.commit()

    assert figures(stream, settings)["ledger_difference"] == -2


def test_what_a_receiver_has_not_got_is_counted_for_those_that_there_are(
    settings: Settings, queue: Queue, change: Callable[..., Settings]
) -> None:
    queue.put([_message(subject, 0) for subject in SUBJECTS])
    for subject in SUBJECTS[:6]:
        with closing(_shard(settings, queue, subject)) as shard:
            shard.execute(_PREDICTION, (subject,))
            shard.commit()
    with closing(_shard(settings, queue, "S00")) as shard:
        last = shard.execute("SELECT max(id) FROM predictions").fetchone()[0]
        shard.execute("UPDATE meta SET value = ? WHERE name = 'hot_at'", (last,))
        shard.commit()

    found = figures(stream, settings)

    assert found["undelivered/lake"] == 6
    assert (found["undelivered/hot"], found["delivered/hot"]) == (6 - last, last)
    assert "undelivered/history" not in found
    named = change(stream={"history": {"address": "postgresql://har@127.0.0.1:1/har"}})
    assert figures(stream, named)["undelivered/history"] == 6


def _shard(settings: Settings, queue: Queue, subject: str) -> sqlite3.Connection:
    return sqlite3.connect(database(settings.path("stream"), shard_of(subject, len(queue.shards))))


def test_reading_makes_no_file_whether_the_stream_runs_or_not(settings: Settings, queue: Queue) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_size for path in settings.path("stream").rglob("*")}

    queue.put([_message(subject, 0) for subject in SUBJECTS])
    hot = open_hot(settings)
    hot.write([state("S01", seen_us=now_us())], {})
    for close in (lambda: None, lambda: (queue.close(), hot.close())):
        close()
        before = files()
        assert figures(stream, settings)["messages/waiting"] == 12
        assert figures(hot_store, settings)["subjects_live"] == 1
        assert files() == before
    assert not list(settings.path("stream").glob("*-wal"))


def test_subjects_that_measure_now_are_told_from_those_that_did(settings: Settings) -> None:
    hot = open_hot(settings)
    now = now_us()
    states = [state(subject, seen_us=now) for subject in SUBJECTS[:4]]
    states[0] = replace(states[0], answer=replace(states[0].answer, unknown=True))
    silent = replace(states[0], subject="S99", seen_us=now - 400_000_000)
    hot.write([*states, silent], {})
    hot.close()

    assert figures(hot_store, settings) == {"subjects": 5, "subjects_live": 4, "subjects_unknown": 1}


def test_without_a_stream_there_is_nothing_but_the_limit(settings: Settings) -> None:
    assert figures(stream, settings) == {"queue_limit": settings.stream.queue_messages}
    assert figures(hot_store, settings) == {}
    assert not settings.path("stream").exists()
