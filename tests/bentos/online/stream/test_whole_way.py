"""The whole way: a device's messages over HTTP, the consumer that answers them, and what the page is told."""

from __future__ import annotations

import numpy as np
import pytest
from live_support import SECOND, ServeStreaming, message, now_us
from serving_support import eventually, movements

from har.streaming.consumer import Consumer, Hot, Model
from har.streaming.queue import open_queue

pytestmark = pytest.mark.stack


def test_from_a_device_to_the_page(streaming: ServeStreaming) -> None:
    served = streaming()
    settings, client = served.service.settings, served.service.client
    begin = now_us() - 20 * SECOND
    for number in range(20):
        rows = np.concatenate(list(movements(4, seed=number, activity=1)))[:50]
        sent = message("anna", number, t0=begin + number * SECOND) | {"samples": rows.round(3).tolist()}
        assert client.post("/samples", json=sent).json()["durable"] == number
    queue = open_queue(settings)
    consumer = Consumer(settings, queue, [], Model(settings, served.service.package.model, 7), Hot(served.store, queue))
    try:

        def shown() -> bool:
            consumer.step()
            return client.get("/subjects/anna").status_code == 200

        eventually(shown, 30)
        consumer.answer_all()
        consumer.step()
        found = client.get("/subjects/anna").json()
        assert found["answer"]["model_version"] == 7
        # Windows of 0.32 s every 0.16 s, over all but the last message, which waits for what comes after it.
        assert found["windows"] == pytest.approx((19 - 0.32) / 0.16, abs=8)
        assert found["minutes"]["WALK"] > 0.8 * sum(found["minutes"].values())
        assert found["devices"][0]["device"] == "watch-1"
        assert found["devices"][0]["rate_hz"] == pytest.approx(50.0)
        assert found["day"]["stretches"]
        eventually(lambda: consumer.step() or client.get("/subjects").json()["ledger"], 30)
        ledger = client.get("/subjects").json()["ledger"]
        assert (ledger["total"]["received"], ledger["balances"]) == (20, True)
        assert abs(ledger["reported_us"] - now_us()) < 60 * SECOND
    finally:
        consumer.close()
        queue.close()
