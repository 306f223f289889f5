"""Messages of a Kafka cluster, as one member of a consumer group; keyed by subject, so that each keeps its order.

An offset is committed after its message, and all before it in its partition, were acknowledged. When the group is
rebalanced, a partition goes on elsewhere from the last acknowledged message; its windows in progress are in the state
on disk, which the consumers of a project share, so there is nothing else to hand over.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from har.errors import SourceError
from har.settings import Settings
from har.streaming import _kafka
from har.streaming._acks import acks_by_device
from har.streaming.envelope import StreamKey
from har.streaming.sources._source import Delivery, SourceKind

_log = logging.getLogger("har.stream.kafka")
_library_log = logging.getLogger("har.stream.kafka.library")
_library_log.setLevel(logging.CRITICAL)  # what it says of connections comes by `error_cb`, too
_TELL_EVERY_S = 1.0
_COMMIT_EVERY_S = 0.5
_NAMED_CONTENT = "content-type"


class _Place(NamedTuple):
    """Where a message stands; `turn` tells one assignment of the partition from the next."""

    partition: int
    offset: int
    turn: int


class _Progress:
    """Of one assigned partition: what was polled and is not committed, in order."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self._polled: deque[int] = deque()
        self._done: set[int] = set()

    def polled(self, offset: int) -> None:
        self._polled.append(offset)

    def acknowledged(self, offset: int) -> int | None:
        """The offset to commit, if this makes a longer run of acknowledged messages."""
        self._done.add(offset)
        last = None
        while self._polled and self._polled[0] in self._done:
            last = self._polled.popleft()
            self._done.discard(last)
        return None if last is None else last + 1


class KafkaSource:
    """See the module; raises `SourceError` when it is made and the brokers are away or refuse us.

    Brokers that go away later are waited for. `poll` must be called while paused, too: the group counts on it.
    """

    name = "kafka"

    def __init__(self, settings: Settings, servers: str = "") -> None:
        kafka = settings.stream.kafka
        self._kafka = kafka.model_copy(update={"servers": servers or kafka.servers})
        self._library = _kafka.library()
        self._properties = {**_kafka.properties(self._kafka, settings.root), "error_cb": self._on_error}
        self._paused = False
        self._turn = 0
        self._progress: dict[int, _Progress] = {}
        self._to_commit: dict[int, int] = {}
        self._to_tell: dict[StreamKey, int] = {}
        self._committed = self._told = float("-inf")
        self._said_away = float("-inf")
        self._producer: Any = None
        try:
            self._consumer: Any = self._library.Consumer(
                {
                    **self._properties,
                    "group.id": kafka.group,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "earliest",
                    "partition.assignment.strategy": "cooperative-sticky",
                    "session.timeout.ms": round(kafka.session_timeout_s * 1000),
                    "heartbeat.interval.ms": round(kafka.session_timeout_s * 1000 / 3),
                    "topic.metadata.refresh.interval.ms": 30_000,
                    "queued.max.messages.kbytes": 65_536,
                    # Some brokers send more than they are asked for.
                    "receive.message.max.bytes": 1_000_000_000,
                },
                logger=_library_log,
            )
        except (self._library.KafkaException, ValueError, TypeError) as error:
            raise _kafka.refused_properties(error) from error
        try:
            if not _kafka.partitions_of(self._consumer, self._kafka, kafka.topic):
                self._create(settings.stream.shards)
            self._consumer.subscribe(
                [kafka.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        except BaseException:
            self._consumer.close()
            raise

    def poll(self, timeout_s: float, most: int) -> Sequence[Delivery]:
        """See `Source`."""
        self._commit_now()
        self._tell_now()
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        # `consume` alone would wait until there are `most`.
        messages = [first, *(self._consumer.consume(most - 1, 0) if most > 1 else [])]
        return [delivery for message in messages if (delivery := self._delivery(message)) is not None]

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See `Source`; commits are sent at most twice a second, and when a partition or the source is given up."""
        for delivery in deliveries:
            place: _Place = delivery.handle
            progress = self._progress.get(place.partition)
            if progress is None or progress.turn != place.turn:
                continue  # another consumer has the partition, and gets the message again
            offset = progress.acknowledged(place.offset)
            if offset is not None:
                self._to_commit[place.partition] = offset
        self._commit_now()

    def tell(self, durable: Mapping[StreamKey, int]) -> None:
        """See `Source`: to the topic `stream.kafka.topic`.ack, keyed by device, at most once a second."""
        self._to_tell.update(durable)
        self._tell_now()

    def pause(self) -> None:
        """See `Source`."""
        self._paused = True
        self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        """See `Source`."""
        self._paused = False
        self._consumer.resume(self._consumer.assignment())

    def close(self) -> None:
        """See `Source`."""
        self._commit(self._to_commit, wait=True)
        self._to_commit = {}
        self._told = float("-inf")
        self._tell_now()
        if self._producer is not None:
            self._producer.flush(2)
        self._consumer.close()

    def _delivery(self, message: Any) -> Delivery | None:
        error = message.error()
        if error is not None:
            self._on_error(error)
            return None
        progress = self._progress.get(message.partition())
        if progress is None:
            return None  # of a partition that was just given up; its new owner gets it
        progress.polled(message.offset())
        headers = {name.lower(): value for name, value in message.headers() or []}
        content_type = (headers.get(_NAMED_CONTENT) or b"").decode("ascii", "replace")
        handle = _Place(message.partition(), message.offset(), progress.turn)
        return Delivery(message.value() or b"", content_type, handle, message.topic())

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        consumer.incremental_assign(partitions)
        self._turn += 1
        for partition in partitions:
            self._progress[partition.partition] = _Progress(self._turn)
        if self._paused and partitions:
            consumer.pause(partitions)
        _log.info("reading partitions %s", sorted(self._progress))

    def _on_revoke(self, consumer: Any, partitions: list[Any]) -> None:
        numbers = {partition.partition for partition in partitions}
        self._commit({number: offset for number, offset in self._to_commit.items() if number in numbers}, wait=True)
        self._give_up(consumer, partitions)

    def _on_lost(self, consumer: Any, partitions: list[Any]) -> None:
        _log.warning("the group went on without this consumer; it joins again")
        self._give_up(consumer, partitions)

    def _give_up(self, consumer: Any, partitions: list[Any]) -> None:
        for partition in partitions:
            self._progress.pop(partition.partition, None)
            self._to_commit.pop(partition.partition, None)
        consumer.incremental_unassign(partitions)

    def _commit_now(self) -> None:
        if self._to_commit and time.monotonic() - self._committed >= _COMMIT_EVERY_S:
            self._committed = time.monotonic()
            self._commit(self._to_commit, wait=False)
            self._to_commit = {}

    def _commit(self, offsets: Mapping[int, int], *, wait: bool) -> None:
        if not offsets:
            return
        places = [self._library.TopicPartition(self._kafka.topic, number, offset) for number, offset in offsets.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=not wait)
        except self._library.KafkaException as error:
            # The messages come again, and are known by their sequence.
            _log.warning("offsets were not committed: %s", error.args[0].str())

    def _tell_now(self) -> None:
        if not self._to_tell or time.monotonic() - self._told < _TELL_EVERY_S:
            return
        self._told = time.monotonic()
        if self._producer is None:
            self._producer = self._library.Producer(
                {**self._properties, "message.timeout.ms": 10_000}, logger=_library_log
            )
        for device, body in acks_by_device(self._to_tell).items():
            try:
                self._producer.produce(_kafka.acks_topic(self._kafka), body, key=device)
            except BufferError:
                break  # devices that hear nothing send again, and are told again
        self._producer.poll(0)
        self._to_tell = {}

    def _create(self, partitions: int) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

        topics = [NewTopic(self._kafka.topic, partitions), NewTopic(_kafka.acks_topic(self._kafka), 1)]
        admin = AdminClient(self._properties, logger=_library_log)
        created = admin.create_topics(topics, operation_timeout=4, request_timeout=5)
        try:
            created[self._kafka.topic].result(10)
        except self._library.KafkaException as error:
            if error.args[0].code() == self._library.KafkaError.TOPIC_ALREADY_EXISTS:
                return
            raise SourceError(
                where=f"stream.kafka.topic, {self._kafka.topic}",
                expected="a topic, or the right to create it",
                got=error.args[0].str(),
                remedy=f"Create it with as many partitions as consumers will share it, such as {partitions}.",
            ) from error
        _log.info("created the topic %s with %d partitions", self._kafka.topic, partitions)

    def _on_error(self, error: Any) -> None:
        """Librdkafka goes on by itself; it says the same again with every attempt."""
        if time.monotonic() - self._said_away > 10:
            self._said_away = time.monotonic()
            _log.warning("the brokers %s: %s; trying again", self._kafka.servers, error.str())


SOURCE = SourceKind("kafka", "a Kafka cluster (stream.kafka), or kafka:HOST:PORT,…", KafkaSource)
