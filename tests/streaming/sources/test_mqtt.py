"""The MQTT source with a real broker."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from broker_support import Mosquitto
from ports_support import free_port
from sensor_logger_support import iphone

from har.errors import SourceError
from har.settings import Settings
from har.streaming._acks import read_acks
from har.streaming.envelope import Limits, StreamKey, decode
from har.streaming.sources import Delivery, open_source
from har.streaming.sources.mqtt import MqttSource
from infra.serving.proxy.certificates import LOCAL, make_certificate

Change = Callable[..., Settings]
Opened = Callable[..., MqttSource]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    started = Mosquitto(tmp_path / "broker").start()
    yield started
    started.stop()


@pytest.fixture
def opened(change: Change, broker: Mosquitto) -> Iterator[Opened]:
    """Sources of the project, closed at the end."""
    made: list[MqttSource] = []

    def one(**mqtt: Any) -> MqttSource:
        settings = change(stream={"mqtt": {"address": broker.address, **mqtt}})
        source = open_source("mqtt", settings)
        assert isinstance(source, MqttSource)
        made.append(source)
        return source

    yield one
    for source in made:
        source.close()


@pytest.fixture
def device(broker: Mosquitto) -> Iterator[paho.Client]:
    client = _client(broker)
    yield client
    client.disconnect()
    client.loop_stop()


def _client(broker: Mosquitto, protocol: Any = paho.MQTTv5) -> paho.Client:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol)
    host, port = broker.address.split(":")
    client.connect(host, int(port))
    client.loop_start()
    return client


def _publish(client: paho.Client, bodies: range, topic: str = "har/samples/anna/watch", qos: int = 1) -> None:
    for number in bodies:
        client.publish(topic, str(number), qos=qos).wait_for_publish(10)


def _poll(source: MqttSource, count: int, *, most: int = 100, timeout_s: float = 20) -> list[Delivery]:
    taken: list[Delivery] = []
    deadline = time.monotonic() + timeout_s
    while len(taken) < count and time.monotonic() < deadline:
        taken += source.poll(0.2, most)
    return taken


def _bodies(deliveries: list[Delivery]) -> list[int]:
    return [int(delivery.body) for delivery in deliveries]


def test_messages_come_in_order_with_their_topic(opened: Opened, device: paho.Client) -> None:
    source = opened()
    _publish(device, range(5))
    taken = _poll(source, 5, most=2)
    assert _bodies(taken) == [0, 1, 2, 3, 4]
    assert {delivery.topic for delivery in taken} == {"har/samples/anna/watch"}


def test_a_poll_without_messages_is_empty_and_takes_at_most_so_many(opened: Opened, device: paho.Client) -> None:
    source = opened()
    assert source.poll(0.01, 10) == []
    _publish(device, range(3))
    first = _poll(source, 1, most=1)
    assert len(first) == 1
    assert _bodies(_poll(source, 2)) == [1, 2]


def test_what_a_closed_consumer_did_not_acknowledge_comes_again(opened: Opened, device: paho.Client) -> None:
    source = opened()
    _publish(device, range(4))
    taken = _poll(source, 4)
    source.acknowledge([taken[0], taken[2]])
    source.close()
    _publish(device, range(4, 6))
    assert sorted(_bodies(_poll(opened(), 4))) == [1, 3, 4, 5]


def test_no_more_than_in_flight_messages_come_before_one_is_acknowledged(opened: Opened, device: paho.Client) -> None:
    source = opened(in_flight=3)
    _publish(device, range(8))
    taken = _poll(source, 8, timeout_s=1)
    assert _bodies(taken) == [0, 1, 2]
    source.acknowledge(taken)
    assert _bodies(_poll(source, 5)) == [3, 4, 5, 6, 7]


def test_a_backlog_stays_at_the_broker(opened: Opened, device: paho.Client) -> None:
    """Also where the broker sends more for an acknowledgement than it was allowed to."""
    source = opened(in_flight=3)
    _publish(device, range(60))
    taken: list[Delivery] = []
    while len(taken) < 60:
        one = _poll(source, 1, most=1)
        source.acknowledge(one)
        taken += one
        assert source.in_memory <= 3
    assert sorted(_bodies(taken)) == list(range(60))


def test_a_source_can_be_closed_while_more_waits_than_it_takes(opened: Opened, device: paho.Client) -> None:
    source = opened(in_flight=2)
    _publish(device, range(20))
    taken = _poll(source, 2)
    source.acknowledge(taken)
    source.close()
    # Acknowledgements that were under way may be lost with the connection; their messages come again.
    again, got = opened(), set()
    deadline = time.monotonic() + 20
    while not set(range(2, 20)) <= got and time.monotonic() < deadline:
        more = again.poll(0.1, 100)
        again.acknowledge(more)
        got |= set(_bodies(list(more)))
    assert got >= set(range(2, 20))


def test_while_paused_acknowledgements_are_withheld(opened: Opened, device: paho.Client) -> None:
    source = opened(in_flight=2)
    _publish(device, range(5))
    taken = _poll(source, 2)
    source.pause()
    source.acknowledge(taken)
    assert source.poll(0.5, 10) == []
    source.resume()
    assert _bodies(_poll(source, 2)) == [2, 3]


def test_two_consumers_share_the_messages(opened: Opened, device: paho.Client) -> None:
    one, two = opened(), opened()
    _publish(device, range(20))
    left, right = _poll(one, 20, timeout_s=1), _poll(two, 20, timeout_s=1)
    assert sorted(_bodies(left + right)) == list(range(20))
    assert left and right


def test_a_consumer_of_another_group_gets_all_messages_too(opened: Opened, device: paho.Client) -> None:
    one, two = opened(), opened(group="others")
    _publish(device, range(3))
    assert _bodies(_poll(one, 3)) == _bodies(_poll(two, 3)) == [0, 1, 2]


KILLED = """
import os, sys
from har.settings import load_settings
from har.streaming.sources import open_source
settings = load_settings(sys.argv[1])
stream = settings.stream.model_copy(update={"mqtt": settings.stream.mqtt.model_copy(update={"address": sys.argv[2]})})
source = open_source("mqtt", settings.model_copy(update={"stream": stream}))
print("ready", flush=True)
count = 0
while count < int(sys.argv[3]):
    count += len(source.poll(1, 100))
print("has them", flush=True)
sys.stdin.read()
"""


def _consumer(project: Path, broker: Mosquitto, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(project), broker.address, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_another_consumer_gets_what_a_killed_one_had_not_acknowledged(
    project: Path, opened: Opened, broker: Mosquitto, device: paho.Client
) -> None:
    """Both share the messages; the killed one's half is fetched, also what came after its death."""
    with _consumer(project, broker, 5) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "ready\n"
        survivor = opened()
        _publish(device, range(10))
        assert killed.stdout.readline() == "has them\n"
        killed.kill()
    _publish(device, range(10, 20))
    taken = _poll(survivor, 20)
    survivor.acknowledge(taken)
    assert sorted(_bodies(taken)) == list(range(20))


def test_a_broker_that_is_killed_and_comes_back_is_used_again(
    opened: Opened, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "har.stream.mqtt")
    source = opened()
    broker.kill()
    assert source.poll(0.3, 10) == []
    broker.start()
    client = _client(broker)
    deadline = time.monotonic() + 20
    taken: list[Delivery] = []
    while not taken and time.monotonic() < deadline:
        _publish(client, range(1))  # a broker without a subscriber forgets it at once
        taken += source.poll(0.2, 10)
    client.disconnect()
    client.loop_stop()
    assert taken
    source.acknowledge(taken)
    assert "is away" in caplog.text and "is back" in caplog.text


def test_devices_are_told_what_is_durable(opened: Opened, device: paho.Client) -> None:
    source = opened()
    heard: list[tuple[str, bytes]] = []
    device.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload))
    subscribed: list[int] = []
    device.on_subscribe = lambda *_: subscribed.append(1)
    device.subscribe("har/ack/#", qos=1)
    deadline = time.monotonic() + 20
    while not subscribed and time.monotonic() < deadline:
        time.sleep(0.01)
    keys = [StreamKey("anna", "watch", "a"), StreamKey("anna", "watch", "b"), StreamKey("ben", "wa/tch", "c")]
    source.tell({keys[0]: 3, keys[1]: 0, keys[2]: 7})
    while len(heard) < 2 and time.monotonic() < deadline:
        source.poll(0.05, 1)
    assert [topic for topic, _ in sorted(heard)] == ["har/ack/wa%2Ftch", "har/ack/watch"]
    assert {ack.key: ack.durable for _, body in heard for ack in read_acks(body)} == {
        keys[0]: 3,
        keys[1]: 0,
        keys[2]: 7,
    }


def test_without_a_broker_the_error_says_how_to_start_one(change: Change) -> None:
    port = free_port()
    with pytest.raises(SourceError, match=rf"127\.0\.0\.1:{port}: expected an MQTT broker.*mosquitto -p {port}"):
        open_source(f"mqtt:127.0.0.1:{port}", change())


def test_a_wrong_password_is_said(tmp_path: Path, change: Change) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "har", "right"], check=True, capture_output=True)
    broker = Mosquitto(tmp_path / "closed", lines=f"allow_anonymous false\npassword_file {passwords}").start()
    try:
        password = tmp_path / "password"
        password.write_text("wrong\n")
        login = {"address": broker.address, "user": "har", "password_file": str(password)}
        with pytest.raises(SourceError, match=r"Not authorized.*password_file"):
            open_source("mqtt", change(stream={"mqtt": login}))
        password.write_text("right\n")
        open_source("mqtt", change(stream={"mqtt": login})).close()
    finally:
        broker.stop()


def test_a_broker_of_mqtt_3_has_one_receiver_and_another_takes_its_place(
    opened: Opened, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    from har.streaming import _mqtt

    monkeypatch.setattr(_mqtt, "version_of", lambda _: _mqtt.V3)
    device = _client(broker, paho.MQTTv311)
    one, two = opened(), opened()
    _publish(device, range(3))
    taken = _poll(one, 3)
    assert _bodies(taken) == [0, 1, 2]
    assert two.poll(0.2, 10) == []
    one.acknowledge(taken[:1])
    one.close()
    _publish(device, range(3, 5))
    assert sorted(_bodies(_poll(two, 4))) == [1, 2, 3, 4]
    device.disconnect()
    device.loop_stop()


def test_a_phone_s_subject_is_the_level_of_its_topic(opened: Opened, device: paho.Client, settings: Settings) -> None:
    """The app Sensor Logger has no name for it, and sends with QoS 0."""
    source = opened()
    device.publish("har/samples/anna", iphone(0.0, 1.0), qos=0).wait_for_publish(10)
    device.publish("har/samples/ben/left", iphone(0.0, 1.0), qos=1).wait_for_publish(10)
    taken = _poll(source, 2)
    source.acknowledge(taken)
    limits = Limits.of(settings)
    assert sorted(decode(one.body, one.content_type, limits).key.subject for one in taken) == ["anna", "ben"]


def test_the_name_of_a_consumer_that_ended_is_given_back_when_the_broker_keeps_nothing_for_it(
    project: Path, opened: Opened, device: paho.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("har.streaming.sources.mqtt._DRAINED_S", 0.5)
    monkeypatch.setattr("har.streaming.sources.mqtt._LOOK_EVERY_S", 0.1)
    one, two = opened(), opened()
    folder = project / "data" / "stream"
    assert len(list(folder.glob("mqtt-har-*.used"))) == 2
    one.close()
    _publish(device, range(10))
    taken: list[Delivery] = []
    deadline = time.monotonic() + 30
    while (len(taken) < 10 or len(list(folder.glob("mqtt-har-*.used"))) == 2) and time.monotonic() < deadline:
        got = two.poll(0.05, 100)
        two.acknowledge(got)
        taken += got
    assert sorted(_bodies(taken)) == list(range(10))
    assert [path.name for path in folder.glob("mqtt-har-*.used")] == ["mqtt-har-1.used"]
    _publish(device, range(10, 14))
    assert sorted(_bodies(_poll(two, 4))) == [10, 11, 12, 13]


def test_a_broker_with_tls_is_trusted_by_its_authority(tmp_path: Path, change: Change) -> None:
    made = make_certificate(tmp_path / "tls", LOCAL)
    broker = Mosquitto(tmp_path / "broker", listener=f"certfile {made.path}\nkeyfile {made.path}").start()
    try:
        address = {"address": broker.address}
        open_source("mqtt", change(stream={"mqtt": {**address, "tls_ca": str(made.authority)}})).close()
        with pytest.raises(SourceError, match=r"stream\.mqtt\.tls_ca"):
            open_source("mqtt", change(stream={"mqtt": address}))
    finally:
        broker.stop()


@pytest.mark.release
@pytest.mark.parametrize(("lines", "kept"), [("", [0]), ("autosave_on_changes true\nautosave_interval 1", [9, 10])])
def test_a_broker_s_acknowledgement_is_no_safety(tmp_path: Path, change: Change, lines: str, kept: list[int]) -> None:
    """The figure of the handbook's page on devices: ten of ten are lost, and the last one even if each is written."""
    broker = Mosquitto(tmp_path / "broker", lines=f"allow_anonymous true\n{lines}").start()
    try:
        settings = change(stream={"mqtt": {"address": broker.address}})
        open_source("mqtt", settings).close()
        client = _client(broker)
        _publish(client, range(10))
        client.disconnect()
        client.loop_stop()
        broker.kill()
        broker.start()
        source = open_source("mqtt", settings)
        assert isinstance(source, MqttSource)
        assert len(_poll(source, 10, timeout_s=3)) in kept
        source.close()
    finally:
        broker.stop()
