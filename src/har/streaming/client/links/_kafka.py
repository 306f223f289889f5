"""To a Kafka cluster, keyed by subject; what is durable comes by the topic of acknowledgements."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from har.settings import Kafka
from har.streaming import _kafka
from har.streaming._acks import Ack, read_acks
from har.streaming.client._spool import Waiting
from har.streaming.client.links._link import Sent

_log = logging.getLogger("har.stream.client")
_FULL_S = 0.1


class KafkaLink:
    """A producer, and a consumer without a group that hears what is said from now on.

    Args:
        kafka: the cluster.
        root: of the project, for `properties_file`.
    """

    def __init__(self, kafka: Kafka, root: Path) -> None:
        library = _kafka.library()
        quiet = logging.getLogger("har.stream.client.kafka")
        quiet.setLevel(logging.CRITICAL)  # what it says of connections comes by `error_cb`, too
        properties = {**_kafka.properties(kafka, root), "error_cb": self._on_error}
        self._kafka = kafka
        self._away = ""
        try:
            self._producer: Any = library.Producer(
                {**properties, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 30_000}, logger=quiet
            )
            self._consumer: Any = library.Consumer(
                {**properties, "group.id": "har-send", "enable.auto.commit": False, "auto.offset.reset": "latest"},
                logger=quiet,
            )
        except (library.KafkaException, ValueError, TypeError) as error:
            raise _kafka.refused_properties(error) from error
        topic = _kafka.acks_topic(kafka)
        _kafka.partitions_of(self._producer, kafka, kafka.topic)
        count = _kafka.partitions_of(self._producer, kafka, topic) or 1
        self._consumer.assign([library.TopicPartition(topic, number, library.OFFSET_END) for number in range(count)])

    def send(self, messages: Sequence[Waiting]) -> Sent:
        """See `Link`."""
        sent = Sent()
        for message in messages:
            try:
                self._producer.produce(
                    self._kafka.topic,
                    message.body,
                    key=message.key.subject,
                    headers={"content-type": message.content_type},
                )
            except BufferError:
                sent.wait_s, sent.why = _FULL_S, self._away or "the client's buffer is full"
                break
            sent.numbers.append(message.number)
        self._producer.poll(0)
        return sent

    def hear(self, timeout_s: float) -> list[Ack]:
        """See `Link`; those of other devices are heard as well, and left to the spool to pass over."""
        self._producer.poll(0)
        acks: list[Ack] = []
        first = self._consumer.poll(timeout_s)
        if first is None:
            return acks
        for message in [first, *self._consumer.consume(500, 0)]:
            if message.error() is None:
                acks += read_acks(message.value() or b"")
        return acks

    def close(self) -> None:
        """See `Link`."""
        self._producer.flush(2)
        self._consumer.close()

    def _on_error(self, error: Any) -> None:
        if error.str() != self._away:
            self._away = error.str()
            _log.warning("the brokers %s: %s; the spool keeps everything", self._kafka.servers, self._away)
