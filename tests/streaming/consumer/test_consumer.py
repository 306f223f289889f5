"""Messages become windows, answers, rows of the lake and states, each once."""

from __future__ import annotations

import numpy as np
import pytest
from stream_support import FIRST_US, ListSource, bench, body, flush, messages, movement, streamed

from har.lake import Lake
from har.settings import Settings
from har.streaming.envelope import StreamKey
from har.streaming.sources import Delivery

_KEY = StreamKey("s01", "watch", "walk")


def test_a_walk_is_answered_stored_and_counted(settings: Settings) -> None:
    values = movement(60, seed=1)
    sent = messages(_KEY, values)
    with bench(settings) as one:
        placed = one.queue.put(sent)
        assert placed.accepted == 60
        one.quiet()
        ledger = one.ledger()
        assert ledger.balances
        total = ledger.total
        assert (total.received, total.scored, total.waiting) == (60, 60, 0)
        assert (total.samples, total.windows) == (3000, 29)
        state = one.hot_store.subject("s01")
        answers = one.hot_store.answers("s01")
    assert state is not None
    assert state.windows == 29
    assert sum(state.minutes.values()) == pytest.approx(1.0)
    assert len(answers) == 29
    sunk = flush(settings)
    assert (sunk.samples, sunk.predictions, sunk.quarantined) == (3000, 29, 0)
    rows = streamed(settings)
    assert rows["start"].to_physical().to_list() == [FIRST_US + 2_000_000 * number for number in range(29)]
    stored = Lake(settings.path("lake"), settings.sensors.channels).samples.read().sort("time")
    np.testing.assert_array_equal(stored.select(settings.sensors.channels).to_numpy(), values)
    assert flush(settings).samples == 0
    assert stored["segment"].unique().to_list() == [0]


def test_a_source_is_acknowledged_once_its_messages_are_durable(settings: Settings) -> None:
    sent = messages(_KEY, movement(20, seed=2))
    source = ListSource([Delivery(body(one, settings)) for one in [*sent, sent[3]]])
    source.waiting.append(Delivery(b"{broken"))
    with bench(settings, sources=[source]) as one:
        one.quiet()
        assert source.acknowledged == 22
        assert source.told[_KEY] == 19
        total = one.ledger().total
        assert one.ledger().balances
    assert (total.received, total.scored, total.duplicate, total.rejected) == (22, 20, 1, 1)
