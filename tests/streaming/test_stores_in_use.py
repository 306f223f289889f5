"""The stream with a real Redis and a real Postgres: it goes on without them, and in the end all places agree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import psycopg
import pytest
from hot_support import redis_server
from postgres_support import postgres
from stream_support import FIRST_US, await_true, bench, flush, messages, movement, streamed

from har.jobs.rebuild import rebuild
from har.lake import Lake
from har.project import Project
from har.settings import Settings
from har.streaming.envelope import StreamKey
from har.streaming.history import History
from har.streaming.sinks import Deliveries, LakeSink
from har.streaming.state import open_hot
from har.streaming.state._redis import RedisHotStore

KEY = StreamKey("s01", "watch", "walk")
KEEP_US = 10**15


def _lake(settings: Settings) -> list[tuple[int, str]]:
    rows = streamed(settings)
    return list(zip(rows["start"].dt.timestamp("us").to_list(), rows["activity"].to_list(), strict=True))


def test_a_hot_store_that_was_lost_is_filled_from_the_lake(settings: Settings, change: Callable[..., Settings]) -> None:
    sent = messages(KEY, movement(60, seed=1))
    with redis_server() as server:
        named = change(stream={"hot": {"address": server.address}})
        hot = RedisHotStore(server.address, f"har:{settings.project.name}:", KEEP_US, lambda: FIRST_US)
        with bench(named, hot=hot) as one:
            one.queue.put(sent[:20])
            one.settle()
            known = len(hot.answers("s01"))
            assert known > 0
            server.stop()
            one.queue.put(sent[20:])
            one.quiet()
            assert one.ledger().total.scored == 60, "it goes on"
            server.start()
            await_true(lambda: (one.steps(), len(hot.answers("s01")) >= 29 - known)[1])
            state = hot.subject("s01")
            hot.clear()
        flush(named)
        assert state is not None
        assert (state.windows, len(_lake(named))) == (29, 29)

        report = rebuild(Project(named))

        again = open_hot(named)
        found, answers = again.subject("s01"), again.answers("s01")
        again.close()
    assert (report.subjects, report.answers) == (1, 29)
    assert [(one.start_us, one.activity) for one in answers] == _lake(named)
    assert found is not None
    assert (found.answer, found.windows, found.date) == (state.answer, state.windows, state.date)
    assert found.minutes == pytest.approx(state.minutes, abs=1e-3), "as the consumer counts them"
    assert [(one.device, one.placement) for one in found.devices] == [("watch", "wrist")]


def test_the_history_has_each_answer_of_the_lake_once(settings: Settings) -> None:
    now = dt.datetime.fromtimestamp(FIRST_US / 1e6, dt.UTC)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    with postgres() as server, bench(settings) as one:
        address = server.address.replace("+psycopg", "")
        history = History(address, "", 30, lambda: now)
        sink = LakeSink(settings, lake, ["hot", "history"])

        def deliver() -> None:
            some = Deliveries(one.queue, lambda: range(4), sink, history, lake_s=60, receivers=["hot", "history"])
            some.start()
            some.close()

        one.queue.put(messages(KEY, movement(60, seed=1)))
        one.quiet()
        server.stop()
        deliver()
        assert len(_lake(settings)) == 29, "the lake does not wait for it"
        server.start()
        deliver()
        deliver()
        history.close()
        with psycopg.connect(address) as database:
            rows = database.execute("SELECT start, activity FROM har.predictions ORDER BY start").fetchall()
    assert [(round(start.timestamp() * 1e6), activity) for start, activity in rows] == _lake(settings)
