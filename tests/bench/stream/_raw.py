"""What the broker and its client do alone: the same messages are read, acknowledged, and thrown away."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.bench.stream._brokers import TOPIC

_WAIT_S = 60.0
_MOST = 2000


def kafka(address: str, count: int) -> float | None:
    """Messages per second by confluent-kafka, offsets committed; None: they did not come within a minute."""
    import confluent_kafka

    consumer: Any = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "raw",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "receive.message.max.bytes": 1_000_000_000,
        }
    )
    consumer.subscribe([TOPIC])
    deadline = time.monotonic() + _WAIT_S
    began, seen = 0.0, 0
    try:
        while seen < count and time.monotonic() < deadline:
            messages = [one for one in consumer.consume(_MOST, 0.1) if one.error() is None]
            if messages and not began:
                began = time.perf_counter()
            seen += sum(1 for one in messages if one.value())
        consumer.commit(asynchronous=False)
        return seen / (time.perf_counter() - began) if seen >= count else None
    finally:
        consumer.close()


class Mqtt:
    """Messages per second by paho with QoS 1; it subscribes when it is made, before the messages are sent."""

    def __init__(self, address: str, count: int) -> None:
        from paho.mqtt.client import CallbackAPIVersion, Client

        self._count = count
        self._seen = 0
        self._began = self._ended = 0.0
        self._all, subscribed = threading.Event(), threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="raw")
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: subscribed.set()
        host, _, port = address.rpartition(":")
        self._client.connect(host, int(port))
        self._client.loop_start()
        self._client.subscribe("har/samples/#", qos=1)
        if not subscribed.wait(10):
            raise RuntimeError(f"expected the broker {address} to answer a subscription, but it did not")

    def _on_message(self, _client: object, _data: object, _message: object) -> None:
        if not self._seen:
            self._began = time.perf_counter()
        self._seen += 1
        if self._seen >= self._count:
            self._ended = time.perf_counter()
            self._all.set()

    def rate(self) -> float | None:
        """Once all have come; None: they did not within a minute."""
        complete = self._all.wait(_WAIT_S)
        self._client.disconnect()
        self._client.loop_stop()
        return self._count / (self._ended - self._began) if complete else None
