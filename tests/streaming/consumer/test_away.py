"""What the stream does when a part of it is away: it goes on, says so, and catches up."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from stream_support import (
    FIRST_US,
    SECOND,
    Bench,
    ListSource,
    await_true,
    bench,
    body,
    flush,
    messages,
    model_of,
    movement,
    streamed,
)

from har.errors import ServiceError, StateError
from har.lake import Lake
from har.settings import Settings
from har.streaming.consumer import Answered
from har.streaming.envelope import StreamKey
from har.streaming.history import HistoryRow, Written
from har.streaming.sinks import Deliveries, LakeSink
from har.streaming.sources import Delivery
from har.streaming.state import HOT_FILE, Answer, SubjectState
from har.streaming.state._sqlite import SqliteHotStore
from har.streaming.store import outbox_sizes, shard_of

_KEY = StreamKey("s01", "watch", "walk")


class _Switched(SqliteHotStore):
    """A real hot store behind a switch."""

    away = False

    def write(self, states: Sequence[SubjectState], answers: Mapping[str, Sequence[Answer]]) -> None:
        if self.away:
            raise StateError(where="hot", problem="it is away", remedy="Wait.")
        super().write(states, answers)


def test_the_hot_store_gets_what_it_missed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.path("stream").mkdir(parents=True)
    hot = _Switched(settings.path("stream") / HOT_FILE, 10**15, clock=lambda: FIRST_US)
    sent = messages(_KEY, movement(60, seed=1))
    with bench(settings, hot=hot) as one:
        one.queue.put(sent[:20])
        one.settle()
        known = len(hot.answers("s01"))
        assert known > 0
        hot.away = True
        one.queue.put(sent[20:40])
        one.settle()
        assert len(hot.answers("s01")) == known
        one.queue.put(sent[40:])
        one.quiet()
        assert one.ledger().total.scored == 60
        hot.away = False
        await_true(lambda: (one.steps(), len(hot.answers("s01")) == 29)[1])
        state = hot.subject("s01")
        assert state is not None
        assert state.windows == 29


def test_a_consumer_after_a_crash_delivers_what_the_hot_store_missed(settings: Settings) -> None:
    hot = _Switched(settings.path("stream") / HOT_FILE, 10**15, clock=lambda: FIRST_US)
    hot.away = True
    with bench(settings, hot=hot) as one:
        one.queue.put(messages(_KEY, movement(60, seed=1)))
        one.quiet()
    with bench(settings) as two:
        two.settle()
        assert len(two.hot_store.answers("s01")) == 29


class _Answerer:
    """The project's model behind a switch."""

    def __init__(self, settings: Settings) -> None:
        self.model = model_of(settings)
        self.away = True

    def refresh(self) -> None:
        pass

    def answer(self, windows: np.ndarray) -> Answered:
        if self.away:
            raise ServiceError(where="service", problem="it is away", remedy="Wait.")
        return self.model.answer(windows)


def test_windows_wait_for_a_model_that_is_away(settings: Settings) -> None:
    answerer = _Answerer(settings)
    with bench(settings, answerer=answerer) as one:
        one.queue.put(messages(_KEY, movement(60, seed=1)))
        one.steps(5)
        await_true(lambda: (one.steps(), one.consumer.waits)[1])
        total = one.ledger().total
        assert (total.received, total.waiting, total.scored) == (60, 60, 0)
        answerer.away = False
        await_true(lambda: (one.steps(), one.ledger().total.scored > 0)[1])
        one.quiet()
        total = one.ledger().total
        assert (total.scored, total.windows) == (60, 29)
        assert one.ledger().balances


def test_a_locked_store_holds_the_source_up_and_nothing_is_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("har.streaming.store._shard._BUSY_S", 0.05)
    source = ListSource([Delivery(body(one, settings)) for one in messages(_KEY, movement(40, seed=1))])
    with bench(settings, sources=[source]) as one:
        one.steps()
        assert source.acknowledged == 40
        more = messages(_KEY, movement(20, seed=2), start_us=FIRST_US + 40 * SECOND, first=40)
        source.waiting += [Delivery(body(message, settings)) for message in more]
        path = one.queue.shards[shard_of("s01", 4)].path
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        one.steps(3)
        assert source.acknowledged == 40
        holder.execute("ROLLBACK")
        await_true(lambda: (one.steps(), source.acknowledged == 60)[1])
        one.quiet()
        total = one.ledger().total
        assert (total.received, total.scored, total.duplicate) == (60, 60, 0)


def test_a_full_store_pauses_the_source_and_drops_nothing(project: Path, settings: Settings) -> None:
    small = settings.model_copy(
        update={"stream": settings.stream.model_copy(update={"queue_messages": 50, "batch_windows": 4})}
    )
    answerer = _Answerer(small)
    keys = [StreamKey(f"s{number:02d}", "watch", "a") for number in range(5)]
    values = movement(60, seed=1)
    sent = [message for key in keys for message in messages(key, values)]
    source = ListSource([Delivery(body(one, small)) for one in sent[:60]])
    with bench(small, sources=[source], answerer=answerer) as one:
        one.steps()
        await_true(lambda: (one.steps(), source.paused)[1])
        source.waiting += [Delivery(body(message, small)) for message in sent[60:]]
        one.steps(5)
        assert source.acknowledged == 60
        assert one.queue.put([sent[299]]).full
        answerer.away = False

        def all_taken() -> bool:
            one.steps(3)
            one.now_us += SECOND
            return source.acknowledged == len(sent)

        await_true(all_taken)
        one.quiet()
        ledger = one.ledger()
    assert source.pauses > 0
    assert ledger.balances
    assert (ledger.total.received, ledger.total.scored, ledger.total.waiting) == (300, 300, 0)


class _History:
    """Keeps rows as a database would: each once, by its key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, int], Answer] = {}
        self.away = True

    def write(self, rows: Sequence[HistoryRow]) -> Written:
        if self.away:
            raise StateError(where="history", problem="it is away", remedy="Wait.")
        self.rows.update({(row.subject, row.session, row.answer.start_us): row.answer for row in rows})
        return Written(len(rows))

    def close(self) -> None:
        pass


def test_the_outbox_keeps_predictions_until_the_history_is_back(settings: Settings) -> None:
    with bench(settings) as one:
        one.queue.put(messages(_KEY, movement(60, seed=1)))
        one.quiet()
    history = _History()
    queue = Bench(settings).queue
    number = shard_of("s01", 4)
    sink = LakeSink(settings, Lake(settings.path("lake"), settings.sensors.channels), ["history"])

    def deliver() -> None:
        some = Deliveries(queue, lambda: range(4), sink, history, lake_s=60, receivers=["history"])  # type: ignore[arg-type]
        some.start()
        some.close()

    deliver()
    assert len(streamed(settings)) == 29
    assert outbox_sizes(queue.shards[number])["history"] == 29
    history.away = False
    deliver()
    assert len(history.rows) == 29
    assert queue.shards[number].query("SELECT count(*) FROM predictions")[0][0] == 0


def test_the_lake_gets_what_waited_while_its_disk_refused(settings: Settings) -> None:
    lake = settings.path("lake")
    with bench(settings) as one:
        one.queue.put(messages(_KEY, movement(60, seed=1)))
        one.quiet()
    lake.mkdir()
    (lake / "samples").write_text("in the way")
    with pytest.raises(OSError, match="samples"):
        flush(settings)
    (lake / "samples").unlink()
    assert flush(settings).samples == 3000
    assert len(streamed(settings)) == 29
