"""The whole way: a device's messages over HTTP, the consumer that answers them, and what the page is told."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from live_support import SECOND, ServeStreaming, message, now_us
from ports_support import free_port
from serving_support import eventually, movements, read_journal

from har.errors import ServiceError
from har.registry import Registry
from har.streaming.consumer import Answered, Consumer, Hot, Model, Service
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


def test_windows_are_answered_by_the_service_that_a_setting_names(streaming: ServeStreaming) -> None:
    served = streaming()
    settings, package = served.service.settings, served.service.package
    registry = SimpleNamespace(model_path=lambda version: package.model)

    def asked(address: str) -> Answered:
        stream = settings.stream.model_copy(update={"service": address})
        with closing(Service(settings.model_copy(update={"stream": stream}), cast(Registry, registry))) as service:
            return service.answer(windows)

    windows = movements(70)
    found = asked(served.url)
    own = Model(settings, package.model, found.version).answer(windows)
    assert found.version == package.version
    assert np.array_equal(found.answers.best, own.answers.best)
    assert np.array_equal(found.answers.abstained, own.answers.abstained)
    assert np.array_equal(found.answers.unknown, own.answers.unknown)
    assert np.allclose(found.answers.confidence, own.answers.confidence, atol=1e-4)
    # The stream stores its answers itself.
    assert read_journal(settings.path("journal")) == []
    with pytest.raises(ServiceError, match=r"stream\.service"):
        asked(f"http://127.0.0.1:{free_port()}")
