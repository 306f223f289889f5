"""Ways of messages to the consumer; each takes batches, and says what it was acknowledged for at the end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from har.settings import Settings
from har.streaming.queue import open_queue
from tests.bench.stream._brokers import TOPIC
from tests.bench.stream._messages import Messages

_END_S = 60.0


class Item(NamedTuple):
    """A message to be made: whose, which, and the stamp of its first sample."""

    device: int
    sequence: int
    t0_us: int


class Sender(Protocol):
    """Sends messages."""

    def send(self, batch: Sequence[Item]) -> None:
        """Send a batch, without waiting for acknowledgements where the way allows it."""

    def finish(self) -> int:
        """Wait for what is on its way; returns how many messages were acknowledged."""


class QueueSender:
    """Into the embedded queue, as the online service does behind `POST /samples`, without HTTP and decoding."""

    def __init__(self, messages: Messages, settings: Settings) -> None:
        self._messages = messages
        self._queue = open_queue(settings)
        self._stored = 0

    def send(self, batch: Sequence[Item]) -> None:
        """One transaction per shard."""
        placed = self._queue.put([self._messages.envelope(*item) for item in batch])
        self._stored += placed.accepted

    def finish(self) -> int:
        """All that was not refused is durable."""
        self._queue.close()
        return self._stored


class KafkaSender:
    """By confluent-kafka, keyed by subject."""

    def __init__(self, messages: Messages, address: str) -> None:
        import confluent_kafka

        self._messages = messages
        self._failed = 0
        self._sent = 0
        self._producer: Any = confluent_kafka.Producer(
            {
                "bootstrap.servers": address,
                "linger.ms": 5,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 2_000_000,
                "partitioner": "murmur2_random",
                "on_delivery": self._delivered,
            }
        )
        self._acknowledged = 0

    def _delivered(self, error: object, _message: object) -> None:
        if error is None:
            self._acknowledged += 1

    def send(self, batch: Sequence[Item]) -> None:
        """Hand over to the client's own thread."""
        messages, produce = self._messages, self._producer.produce
        for item in batch:
            # The message's time is that of its first sample, for peers that cut windows by it.
            key = messages.keys[item.device].subject
            produce(TOPIC, messages.body(*item), key=key, timestamp=item.t0_us // 1000)
        self._producer.poll(0)

    def finish(self) -> int:
        """Wait for the broker."""
        self._producer.flush(_END_S)
        return self._acknowledged


class MqttSender:
    """QoS 1 of MQTT 3.1.1 by a plain socket: a client library would take more time than the consumer."""

    def __init__(self, messages: Messages, address: str) -> None:
        self._messages = messages
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        self._socket.settimeout(_END_S)
        self._socket.sendall(b"\x10\x16\x00\x04MQTT\x04\x02\x00\x00\x00\x0abench-load")
        if self._socket.recv(4) != b"\x20\x02\x00\x00":
            raise RuntimeError(f"expected the broker {address} to let us in, but it refused")
        names = [f"har/samples/{key.subject}/{key.device}".encode() for key in messages.keys]
        self._topics = [len(name).to_bytes(2, "big") + name for name in names]
        self._number = self._sent = self._acknowledged = 0
        self._all = threading.Event()
        self._closing = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, batch: Sequence[Item]) -> None:
        """Write all packets at once."""
        parts = []
        for item in batch:
            self._number = self._number % 65_535 + 1
            rest = self._topics[item.device] + self._number.to_bytes(2, "big") + self._messages.body(*item)
            parts.append(b"\x32" + _length(len(rest)) + rest)
        self._sent += len(batch)
        self._socket.sendall(b"".join(parts))

    def finish(self) -> int:
        """Wait for the broker's acknowledgements."""
        self._closing = True
        if self._acknowledged < self._sent:
            self._all.wait(_END_S)
        self._socket.close()
        return self._acknowledged

    def _read(self) -> None:
        received = 0
        while True:
            try:
                part = self._socket.recv(65_536)
            except OSError:
                return
            if not part:
                return
            received += len(part)
            self._acknowledged = received // 4  # nothing but PUBACK comes
            if self._closing and self._acknowledged >= self._sent:
                self._all.set()


def _length(size: int) -> bytes:
    found = bytearray()
    while True:
        size, low = divmod(size, 128)
        found.append(low | 128 if size else low)
        if not size:
            return bytes(found)


def open_sender(kind: str, address: str, messages: Messages, settings: Settings) -> Sender:
    """The way of this name: queue, kafka or mqtt."""
    if kind == "queue":
        return QueueSender(messages, settings)
    return {"kafka": KafkaSender, "mqtt": MqttSender}[kind](messages, address)
