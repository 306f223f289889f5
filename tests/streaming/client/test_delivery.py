"""The reference client and the consumer's sources, over a real broker that is killed with messages under way."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from broker_support import MockKafka, Mosquitto, Nats, Tansu
from send_support import received

from har.settings import Settings
from har.streaming.client import Delivered, Made, Spool, Stretch, cut, deliver, form_of, open_link
from har.streaming.client.links import Link, Sent
from har.streaming.envelope import StreamKey

Change = Callable[..., Settings]
KEYS = [StreamKey(f"s{number}", f"watch-{number}", "a") for number in range(3)]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool")
    yield opened
    opened.close()


def _messages(settings: Settings, seconds: int) -> list[Made]:
    """A message per second of three devices, in the order of their time."""
    count = seconds * 50
    generator = np.random.default_rng(3)
    values = generator.normal(0, 0.1, (count, 6)).astype(np.float32)
    values[:, 2] += 9.81
    times = 1_717_404_000_000_000 + np.arange(count) * 20_000
    stretches = iter([Stretch(key, times, values) for key in KEYS])
    return sorted(cut(stretches, form_of(settings, seconds=1.0)), key=lambda one: one.end_us)


RECEIVER = """
import sys
import time
from har.settings import load_settings
from har.streaming.consumer._receiving import Receiver
from har.streaming.queue import open_queue
from har.streaming.sources import open_source

settings = load_settings(sys.argv[1])
queue = open_queue(settings)
receiver = Receiver(open_source(sys.argv[2], settings), queue, settings)
print("ready", flush=True)
while True:
    if not receiver.step(queue.waiting()):
        time.sleep(0.005)
"""
"""The part of `har stream run` that takes messages from the broker into the store on disk."""


class Receiving:
    """A consumer in a process of its own."""

    def __init__(self, project: Path, source: str) -> None:
        self._command = [sys.executable, "-c", textwrap.dedent(RECEIVER), str(project), source]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _deliver(
    messages: list[Made], spool: Spool, settings: Settings, to: str, *, pause_s: float = 0.0, patience_s: float = 40
) -> tuple[threading.Thread, list[Delivered]]:
    """Send in a thread, each message after a pause."""
    result: list[Delivered] = []

    def feed() -> Iterator[Made | None]:
        due = time.monotonic()
        for one in messages:
            while time.monotonic() < due:
                yield None
            yield one
            due += pause_s

    def run() -> None:
        kept = Spool(Path(spool_path))
        link = open_link(to, settings)
        try:
            result.append(deliver(feed(), kept, link, again_s=1.0, patience_s=patience_s))
        finally:
            link.close()
            kept.close()

    spool_path = spool._path  # opened in the thread, as SQLite wants it
    spool.close()
    thread = threading.Thread(target=run)
    thread.start()
    return thread, result


def test_nothing_is_lost_when_broker_and_consumer_are_killed(
    project: Path, settings: Settings, spool: Spool, tmp_path: Path
) -> None:
    """Mosquitto forgets what it had acknowledged; the client has not been told that it is safe, and sends again."""
    messages = _messages(settings, 20)
    broker = Mosquitto(tmp_path / "broker").start()
    consumer = Receiving(project, f"mqtt:{broker.address}")
    try:
        consumer.start()
        thread, result = _deliver(messages, spool, settings, f"mqtt:{broker.address}", pause_s=0.03)
        time.sleep(0.5)
        consumer.kill()  # the broker goes on to acknowledge what nobody has stored
        time.sleep(0.5)
        broker.kill()
        broker.start()
        consumer.start()
        thread.join(60)
        assert not thread.is_alive()
    finally:
        consumer.kill()
        broker.stop()
    assert (result[0].durable, result[0].waiting, result[0].refused) == (60, 0, ())
    assert received(settings)[0] == 60


@pytest.mark.release
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_however_often_they_are_killed(
    project: Path, settings: Settings, spool: Spool, tmp_path: Path, seed: int
) -> None:
    drawn = random.Random(seed)  # noqa: S311
    messages = _messages(settings, 150)
    broker = Mosquitto(tmp_path / "broker").start()
    consumers = [Receiving(project, f"mqtt:{broker.address}") for _ in range(2)]
    try:
        for consumer in consumers:
            consumer.start()
        thread, result = _deliver(messages, spool, settings, f"mqtt:{broker.address}", pause_s=0.03)
        for _ in range(6):
            time.sleep(drawn.uniform(0.1, 2.5))
            victims = [one for one in (*consumers, broker) if drawn.random() < 0.6]
            for victim in victims:
                victim.kill()
            time.sleep(drawn.uniform(0, 1))
            for victim in sorted(victims, key=lambda one: one is not broker):
                victim.start()
        thread.join(120)
        assert not thread.is_alive()
    finally:
        for consumer in consumers:
            consumer.kill()
        broker.stop()
    assert (result[0].durable, result[0].waiting, result[0].refused) == (450, 0, ())
    assert received(settings)[0] == 450


@pytest.mark.release
def test_nats_keeps_what_it_acknowledged_and_speaks_an_older_mqtt(
    project: Path, settings: Settings, spool: Spool, tmp_path: Path
) -> None:
    messages = _messages(settings, 20)
    broker = Nats(tmp_path / "broker").start()
    consumer = Receiving(project, f"mqtt:{broker.address}")
    try:
        consumer.start()
        thread, result = _deliver(messages, spool, settings, f"mqtt:{broker.address}", pause_s=0.03)
        time.sleep(0.5)
        consumer.kill()
        time.sleep(0.5)
        broker.kill()
        broker.start()
        consumer.start()
        thread.join(90)
        assert not thread.is_alive()
    finally:
        consumer.kill()
        broker.kill()
    assert (result[0].durable, result[0].waiting) == (60, 0)
    assert received(settings)[0] == 60


@pytest.mark.release
def test_nothing_is_lost_over_kafka(project: Path, settings: Settings, spool: Spool, tmp_path: Path) -> None:
    """Broker, its storage and one of two consumers are killed; the other one gets the dead one's partitions."""
    messages = _messages(settings, 40)
    broker = Tansu(tmp_path / "broker").start()
    consumers = [Receiving(project, f"kafka:{broker.servers}") for _ in range(2)]
    try:
        for consumer in consumers:
            consumer.start()
        thread, result = _deliver(messages, spool, settings, f"kafka:{broker.servers}", pause_s=0.1, patience_s=120)
        time.sleep(4)
        broker.kill()
        time.sleep(1)
        broker.start()
        consumers[0].kill()
        thread.join(180)
        assert not thread.is_alive()
    finally:
        for consumer in consumers:
            consumer.kill()
        broker.kill()
    assert (result[0].durable, result[0].waiting, result[0].refused) == (120, 0, ())
    assert received(settings)[0] == 120


def test_messages_arrive_over_kafka(project: Path, settings: Settings, spool: Spool) -> None:
    cluster = MockKafka()
    for topic in ("har.samples", "har.samples.ack"):
        cluster.create(topic)
    consumer = Receiving(project, f"kafka:{cluster.servers}")
    try:
        consumer.start()
        thread, result = _deliver(_messages(settings, 5), spool, settings, f"kafka:{cluster.servers}")
        thread.join(60)
        assert not thread.is_alive()
    finally:
        consumer.kill()
    assert (result[0].durable, result[0].waiting) == (15, 0)
    assert received(settings)[0] == 15


class _Forgetful:
    """A way on which every second message gets lost, and the answers to every third."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._count = 0

    def send(self, messages: list[object]) -> Sent:
        sent = Sent()
        for message in messages:
            self._count += 1
            arrived = self._link.send([message]) if self._count % 2 else Sent()  # type: ignore[list-item]
            answered = arrived.safe and self._count % 3
            (sent.safe if answered else sent.numbers).append(message.number)  # type: ignore[attr-defined]
        return sent

    def hear(self, timeout_s: float) -> list[object]:
        time.sleep(timeout_s)
        return []

    def close(self) -> None:
        self._link.close()


def test_a_message_without_an_acknowledgement_is_sent_again(settings: Settings, spool: Spool) -> None:
    messages = _messages(settings, 10)
    link = _Forgetful(open_link("queue", settings))
    done = deliver(iter(messages), spool, link, again_s=0.05)  # type: ignore[arg-type]
    link.close()
    assert (done.durable, done.waiting, done.why) == (30, 0, "")
    arrived, duplicates = received(settings)
    assert arrived == 30 and duplicates > 0


def test_it_gives_up_after_a_time_and_the_next_start_goes_on(settings: Settings, spool: Spool, tmp_path: Path) -> None:
    """A broker that nobody reads from acknowledges everything."""
    broker = Mosquitto(tmp_path / "broker").start()
    try:
        link = open_link(f"mqtt:{broker.address}", settings)
        done = deliver(iter(_messages(settings, 5)), spool, link, patience_s=0.5)
        link.close()
    finally:
        broker.stop()
    assert (done.durable, done.waiting) == (0, 15)
    assert "does `har stream run` run?" in done.why
    link = open_link("queue", settings)
    spool.take_back()
    assert deliver(iter(()), spool, link).durable == 15
    link.close()


def test_a_full_queue_is_waited_for(settings: Settings, change: Change, spool: Spool) -> None:
    messages = _messages(settings, 6)
    link = open_link("queue", change(stream={"queue_messages": 10}))
    assert deliver(iter(messages[:9]), spool, link).durable == 9
    done = deliver(iter(messages[9:]), spool, link, patience_s=0.2)
    link.close()
    assert (done.durable, done.waiting) == (0, 9)
    assert "too many messages wait" in done.why
    link = open_link("queue", settings)
    assert deliver(iter(()), spool, link).durable == 9
    link.close()


def test_a_message_that_the_project_does_not_take_is_set_aside(settings: Settings, spool: Spool) -> None:
    messages = _messages(settings, 2)
    messages[3] = messages[3]._replace(body=b'{"subject": "s0"}', content_type="application/json")
    link = open_link("queue", settings)
    done = deliver(iter(messages), spool, link, patience_s=1)
    link.close()
    assert done.durable == 5
    assert len(done.refused) == 1 and "no such field" in done.refused[0]


class _Deaf:
    """A way on which everything is sent and nothing is heard; the clock is the test's."""

    def __init__(self) -> None:
        self.sent: dict[int, int] = {}

    def send(self, messages: list[object]) -> Sent:
        for message in messages:
            self.sent[message.number] = self.sent.get(message.number, 0) + 1  # type: ignore[attr-defined]
        return Sent(numbers=[message.number for message in messages])  # type: ignore[attr-defined]

    def hear(self, timeout_s: float) -> list[object]:
        time.sleep(timeout_s / 100)
        return []

    def close(self) -> None:
        """Nothing is open."""


def test_what_nobody_acknowledges_is_sent_again_ever_more_seldom(settings: Settings, spool: Spool) -> None:
    link = _Deaf()
    deliver(iter(_messages(settings, 1)), spool, link, again_s=0.01, patience_s=0.6)  # type: ignore[arg-type]
    # At 0, 0.01, 0.03, 0.07, 0.15, 0.31, 0.63 s, and not sixty times.
    assert 3 <= max(link.sent.values()) <= 8
