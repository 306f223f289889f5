"""The hot store: what every implementation has to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hot_support import HOUR_US, KEEP_US, PRESENT_US, Clock, RedisServer, answer, redis_server, state

from har.streaming.state import HotStore, Signal
from har.streaming.state._redis import RedisHotStore
from har.streaming.state._sqlite import SqliteHotStore


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


Connect = Callable[[], HotStore]


@pytest.fixture(params=["sqlite", "redis"])
def connect(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Connect]:
    """Connect to one and the same store, as several processes do."""
    made: list[HotStore] = []
    redis: RedisServer | None = request.getfixturevalue("redis") if request.param == "redis" else None

    def connected() -> HotStore:
        if redis is None:
            made.append(SqliteHotStore(tmp_path / "stream" / "hot.sqlite", KEEP_US, clock))
        else:
            made.append(RedisHotStore(redis.address, f"har:{request.node.name}:", KEEP_US, clock))
        return made[-1]

    yield connected
    for store in made:
        store.close()


@pytest.fixture
def hot(connect: Connect) -> HotStore:
    return connect()


def test_what_one_process_writes_another_reads(connect: Connect) -> None:
    writer, reader = connect(), connect()

    writer.write([state("S02"), state("S01")], {"S01": [answer()]})

    assert reader.subjects() == [state("S01"), state("S02")]
    assert reader.subject("S02") == state("S02")
    assert reader.answers("S01") == [answer()]
    assert reader.answers("S02") == []
    assert reader.subject("S03") is None


def test_an_empty_store_has_nothing(hot: HotStore) -> None:
    assert (hot.subjects(), hot.subject("S01"), hot.answers("S01"), hot.signal("S01")) == ([], None, [], None)
    assert (hot.ledger(), hot.watched()) == ({}, set())


def test_a_state_replaces_the_one_before(hot: HotStore) -> None:
    hot.write([state("S01")], {})
    hot.write([replace(state("S01"), windows=610)], {})

    assert [found.windows for found in hot.subjects()] == [610]


def test_answers_come_in_time_order_from_a_moment_on(hot: HotStore) -> None:
    starts = [PRESENT_US + second * 1_000_000 for second in (3, 1, 2)]
    hot.write([state("S01")], {"S01": [answer(start) for start in starts], "S02": [answer()]})

    assert [found.start_us for found in hot.answers("S01")] == sorted(starts)
    assert hot.answers("S01", since_us=sorted(starts)[1]) == [answer(max(starts))]


def test_an_answer_that_is_written_again_counts_once_and_the_last_word_holds(hot: HotStore) -> None:
    hot.write([state("S01")], {"S01": [answer()]})
    hot.write([state("S01")], {"S01": [answer(), answer(smoothed="standing")]})

    assert hot.answers("S01") == [answer(smoothed="standing")]


def test_a_silent_subject_is_forgotten(hot: HotStore, clock: Clock) -> None:
    hot.write([state("S01"), state("S02")], {"S01": [answer()]})
    clock.now += KEEP_US + 1

    assert hot.subjects() == []
    assert hot.subject("S01") is None


def test_answers_are_kept_relative_to_the_clock_of_their_device(hot: HotStore) -> None:
    starts = [start - 400 * 24 * HOUR_US for start in (PRESENT_US - KEEP_US, PRESENT_US - HOUR_US, PRESENT_US)]
    for start in starts:  # the device's clock is a year behind
        hot.write([state("S01", start)], {"S01": [answer(start)]})

    assert [found.start_us for found in hot.answers("S01")] == starts

    hot.write([state("S01", starts[-1] + HOUR_US)], {"S01": [answer(starts[-1] + HOUR_US)]})

    assert [found.start_us for found in hot.answers("S01")] == [*starts[1:], starts[-1] + HOUR_US]


def test_the_baseline_has_a_writer_of_its_own(hot: HotStore) -> None:
    hot.write_baselines({"S01": {"walking.share": 0.25}, "S09": {"walking.share": 0.5}})
    hot.write([state("S01")], {})

    assert hot.subject("S01") == replace(state("S01"), baseline={"walking.share": 0.25})
    assert hot.subject("S09") is None, "it sent nothing yet"

    hot.write_baselines({"S01": {"walking.share": 0.75}})
    hot.write([state("S01", seen_us=PRESENT_US + 1)], {})

    assert [found.baseline for found in hot.subjects()] == [{"walking.share": 0.75}]


def test_a_page_that_watches_asks_for_the_signal_for_some_seconds(connect: Connect, clock: Clock) -> None:
    page, consumer = connect(), connect()
    page.watch("S01")
    clock.now += 10_000_000
    page.watch("S02")

    assert consumer.watched() == {"S01", "S02"}
    clock.now += 6_000_000
    assert consumer.watched() == {"S02"}
    clock.now += 3_000_000
    page.watch("S02")
    clock.now += 10_000_000
    assert consumer.watched() == {"S02"}
    clock.now += 10_000_000
    assert consumer.watched() == set()


def test_a_signal_comes_back_as_it_was(hot: HotStore) -> None:
    rng = np.random.default_rng(5)
    times = PRESENT_US + np.arange(200, dtype=np.int64) * 20_000
    values = rng.normal(0, 9.81, (200, 6)).astype(np.float32)

    hot.write_signal("S01", Signal(times[:100], values[:100]))
    hot.write_signal("S01", Signal(times, values))
    found = hot.signal("S01")

    assert found is not None
    assert (found.times.dtype, found.values.dtype) == (np.int64, np.float32)
    assert np.array_equal(found.times, times)
    assert np.array_equal(found.values, values)


def test_the_ledger_is_what_was_written_last(hot: HotStore) -> None:
    hot.write_ledger({"received": 4})
    hot.write_ledger({"received": 5, "subjects": {"S01": {"scored": 5}}})

    assert hot.ledger() == {"received": 5, "subjects": {"S01": {"scored": 5}}}


def test_after_clear_nothing_is_left(connect: Connect) -> None:
    writer, reader = connect(), connect()
    writer.write([state("S01")], {"S01": [answer()]})
    writer.write_ledger({"received": 4})
    assert reader.subjects()

    writer.clear()

    assert (reader.subjects(), reader.answers("S01"), reader.ledger()) == ([], [], {})
    reader.write([state("S02")], {})
    assert [found.subject for found in writer.subjects()] == ["S02"]
