"""Consumers of one folder share its shards; when one ends or dies, another goes on with its windows in progress."""

from __future__ import annotations

import numpy as np
from stream_support import Bench, Process, await_true, bench, flush, messages, movement, streamed

from har.lake import Lake
from har.settings import Settings
from har.streaming.envelope import StreamKey
from har.streaming.store import shard_of

_KEYS = [StreamKey(f"s{number:02d}", "watch", "a") for number in range(8)]


def _looked(one: Bench) -> set[int]:
    one.consumer.look()
    return set(one.consumer.workers)


def test_two_consumers_share_and_windows_in_progress_are_handed_over(settings: Settings) -> None:
    values = {key: movement(40, seed=number) for number, key in enumerate(_KEYS)}
    sent = {key: messages(key, some) for key, some in values.items()}
    with bench(settings) as one:
        one.queue.put([message for stream in sent.values() for message in stream[:19]])
        one.settle()
        assert _looked(one) == {0, 1, 2, 3}
        two = Bench(settings)
        assert _looked(two) == set()
        assert _looked(one) == {0, 1}
        assert _looked(two) == {2, 3}
        # Either takes messages of any subject, and works on its own.
        one.queue.put([message for stream in sent.values() for message in stream[19:30]])
        one.settle()
        two.settle()
        theirs = sum(1 for key in _KEYS if shard_of(key.subject, 4) in (2, 3))
        assert two.consumer.work.windows > 0
        two.close()
        assert _looked(one) == {0, 1, 2, 3}
        one.queue.put([message for stream in sent.values() for message in stream[30:]])
        one.quiet()
        total = one.ledger().total
        assert theirs > 0
    assert (total.received, total.scored, total.windows) == (320, 320, 8 * 19)
    flush(settings)
    assert len(streamed(settings)) == 8 * 19
    stored = Lake(settings.path("lake"), settings.sensors.channels).samples.read().sort("subject", "time")
    whole = np.concatenate([values[key] for key in _KEYS])
    np.testing.assert_array_equal(stored.select(settings.sensors.channels).to_numpy(), whole)


def test_the_shards_of_a_killed_process_are_taken_over(settings: Settings) -> None:
    process = Process(settings)
    with bench(settings) as one:
        await_true(lambda: len(_looked(one)) in (0, 2), 60)
        process.kill()
        assert _looked(one) == {0, 1, 2, 3}
        one.queue.put([message for key in _KEYS for message in messages(key, movement(20, seed=1))])
        one.quiet()
        assert one.ledger().total.windows == 8 * 9
