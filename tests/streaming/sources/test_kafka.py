"""The Kafka source with librdkafka's mock cluster: real connections, groups and offsets, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker_support import MockKafka
from ports_support import free_port

from har.errors import SourceError
from har.settings import Settings
from har.streaming._acks import read_acks
from har.streaming.envelope import StreamKey
from har.streaming.sources import Delivery, open_source
from har.streaming.sources.kafka import KafkaSource

TOPIC = "har.samples"
Change = Callable[..., Settings]
Opened = Callable[..., KafkaSource]


@pytest.fixture
def cluster() -> MockKafka:
    made = MockKafka()
    made.create(TOPIC)
    return made


@pytest.fixture
def opened(change: Change, cluster: MockKafka) -> Iterator[Opened]:
    """Sources of the project, closed at the end."""
    made: list[KafkaSource] = []

    def one(**kafka: Any) -> KafkaSource:
        kafka = {"servers": cluster.servers, **kafka}
        source = open_source("kafka", change(stream={"kafka": kafka}))
        assert isinstance(source, KafkaSource)
        made.append(source)
        return source

    yield one
    for source in made:
        source.close()


def _produce(cluster: MockKafka, bodies: range, subjects: int = 4) -> None:
    for number in bodies:
        cluster.producer.produce(
            TOPIC, str(number), key=f"s{number % subjects}", headers={"content-type": "application/json"}
        )
    assert cluster.producer.flush(20) == 0


def _poll(*sources: KafkaSource, until: int, timeout_s: float = 30) -> list[list[Delivery]]:
    taken: list[list[Delivery]] = [[] for _ in sources]
    deadline = time.monotonic() + timeout_s
    while sum(map(len, taken)) < until and time.monotonic() < deadline:
        for mine, source in zip(taken, sources, strict=True):
            mine += source.poll(0.1, 100)
    return taken


def _bodies(*taken: list[Delivery]) -> list[int]:
    return sorted(int(delivery.body) for one in taken for delivery in one)


def test_messages_come_with_topic_and_content_type_and_a_subject_keeps_its_order(
    opened: Opened, cluster: MockKafka
) -> None:
    _produce(cluster, range(12))
    (taken,) = _poll(opened(), until=12)
    assert _bodies(taken) == list(range(12))
    assert {(delivery.topic, delivery.content_type) for delivery in taken} == {(TOPIC, "application/json")}
    for subject in range(4):
        ours = [int(delivery.body) for delivery in taken if int(delivery.body) % 4 == subject]
        assert ours == sorted(ours)


@pytest.mark.release
def test_what_was_not_acknowledged_comes_again(opened: Opened, cluster: MockKafka) -> None:
    _produce(cluster, range(6), subjects=1)
    source = opened()
    (taken,) = _poll(source, until=6)
    # The third is durable, the second is not: only the first may be committed.
    source.acknowledge([taken[0], taken[2]])
    source.close()
    assert _bodies(*_poll(opened(), until=5)) == [1, 2, 3, 4, 5]


def test_acknowledged_messages_do_not_come_again(opened: Opened, cluster: MockKafka) -> None:
    _produce(cluster, range(6), subjects=2)
    source = opened()
    (taken,) = _poll(source, until=6)
    source.acknowledge(list(reversed(taken)))
    source.close()
    _produce(cluster, range(6, 8))
    assert _bodies(*_poll(opened(), until=2)) == [6, 7]


def test_while_paused_nothing_comes(opened: Opened, cluster: MockKafka) -> None:
    _produce(cluster, range(4))
    source = opened()
    (before,) = _poll(source, until=4)
    source.pause()
    _produce(cluster, range(4, 8))
    assert source.poll(0.5, 100) == []
    source.resume()
    assert _bodies(before, *_poll(source, until=4)) == list(range(8))


@pytest.mark.release
def test_a_second_consumer_takes_over_partitions_and_nothing_is_lost(opened: Opened, cluster: MockKafka) -> None:
    """Acknowledged before the rebalance: committed by it. Not acknowledged: the new owner gets it."""
    one = opened()
    _produce(cluster, range(40), subjects=20)
    (first,) = _poll(one, until=40)
    one.acknowledge(first[:30])
    two = opened()
    _produce(cluster, range(40, 80), subjects=20)
    left: list[Delivery] = []
    right: list[Delivery] = []
    deadline = time.monotonic() + 90
    while not (right and set(_bodies(first, left, right)) == set(range(80))) and time.monotonic() < deadline:
        left += one.poll(0.1, 100)
        right += two.poll(0.1, 100)
    assert set(_bodies(right)) & set(_bodies(left)), "what one had not acknowledged of a partition comes to two"
    assert set(_bodies(first, left, right)) == set(range(80))
    mine = {delivery.handle.partition for delivery in right}
    one.acknowledge(left)
    one.close()
    two.acknowledge(right)
    _produce(cluster, range(80, 100), subjects=20)
    last: list[Delivery] = []
    while not set(_bodies(last)) >= set(range(80, 100)) and time.monotonic() < deadline:
        last += two.poll(0.1, 100)
    assert set(_bodies(last)) >= set(range(80, 100))
    assert {delivery.handle.partition for delivery in last} > mine


@pytest.mark.release
def test_a_paused_consumer_that_gets_partitions_stays_paused(opened: Opened, cluster: MockKafka) -> None:
    _produce(cluster, range(8))
    source = opened()
    source.pause()
    assert _poll(source, until=1, timeout_s=5) == [[]]
    source.resume()
    assert _bodies(*_poll(source, until=8)) == list(range(8))


def test_devices_are_told_what_is_durable(opened: Opened, cluster: MockKafka) -> None:
    from confluent_kafka import Consumer

    cluster.create(f"{TOPIC}.ack")
    key = StreamKey("anna", "watch", "a")
    source = opened()
    source.tell({key: 3})
    source.close()
    device = Consumer(
        {"bootstrap.servers": cluster.servers, "group.id": "device", "auto.offset.reset": "earliest"},
    )
    device.subscribe([f"{TOPIC}.ack"])
    deadline = time.monotonic() + 20
    heard = None
    while heard is None and time.monotonic() < deadline:
        heard = device.poll(0.2)
    device.close()
    assert heard is not None and heard.key() == b"watch"
    assert [(ack.key, ack.durable) for ack in read_acks(heard.value())] == [(key, 3)]


def test_without_a_broker_the_error_says_so(change: Change) -> None:
    servers = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceError, match=rf"{servers}: expected a Kafka broker.*stream\.kafka\.servers"):
        open_source(f"kafka:{servers}", change())


@pytest.mark.release
def test_a_topic_that_cannot_be_created_is_named(change: Change, cluster: MockKafka) -> None:
    """The mock cluster has no administration."""
    with pytest.raises(SourceError, match=r"stream\.kafka\.topic, other: expected a topic.*partitions"):
        open_source("kafka", change(stream={"kafka": {"servers": cluster.servers, "topic": "other"}}))


@pytest.mark.parametrize(
    ("line", "says"),
    [("security.protocol", r"a line without '=' \(2\)"), ("no.such.property=1", "no.such.property")],
)
def test_a_wrong_line_of_the_properties_is_said(change: Change, tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "kafka.properties").write_text(f"# ours\n{line}\n")
    kafka = {"properties_file": str(tmp_path / "kafka.properties")}
    with pytest.raises(SourceError, match=says):
        open_source("kafka", change(stream={"kafka": kafka}))
