"""One session with an MQTT broker: what it delivers goes into an inbox, and is acknowledged by hand."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any, NamedTuple

from har.errors import SourceError
from har.settings import Mqtt
from har.streaming import _mqtt
from har.streaming.envelope.formats.sensor_logger import addressed
from har.streaming.sources._source import Delivery

_log = logging.getLogger("har.stream.mqtt")
_SUBSCRIBED_S = 10.0
_LOOK_S = 0.2
_FLUSH_S = 1.0


class Handle(NamedTuple):
    """What acknowledges a message: only on the connection that it came by, as numbers are used again."""

    session: Session
    connection: int
    number: int
    qos: int


class Session:
    """A client of the broker; `topic` None: the messages of a subscription that a dead consumer left are fetched.

    When the inbox is full, nothing is read from the network until there is room again. The number of messages that may
    be unacknowledged does not suffice: Mosquitto 2.0 sends that many more for each acknowledgement while it has a
    backlog (its issue 2301).
    """

    def __init__(
        self, mqtt: Mqtt, version: int, client_id: str, topic: str | None, inbox: queue.Queue[Delivery]
    ) -> None:
        self._mqtt = mqtt
        self._version = version
        self._topic = topic
        self._inbox = inbox
        self._connection = 0
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._refused = ""
        self._open = 0
        self._closing = False
        self._last = time.monotonic()
        self.client = _mqtt.client(mqtt, version, client_id, keep_session=True, manual_ack=True)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        _mqtt.connect(self.client, mqtt, version, keep_session=True, receive=mqtt.in_flight, pings=False)

    def wait(self) -> None:
        """Until the broker has answered the subscription.

        Raises:
            SourceError: it does not, or refuses it.
        """
        if not self._answered.wait(_SUBSCRIBED_S):
            raise _mqtt.away(self._mqtt, f"no answer to a subscription within {_SUBSCRIBED_S:g} s")
        if self._refused:
            raise SourceError(
                where=f"stream.mqtt.topic, {self._topic}",
                expected="a broker that lets us subscribe",
                got=self._refused,
                remedy="Allow stream.mqtt.user to read this topic, and to write below stream.mqtt.acks.",
            )

    def acknowledge(self, handles: list[Handle]) -> None:
        """Send acknowledgements; those of an earlier connection are left out, the broker sends their messages again."""
        with self._lock:
            for handle in handles:
                if handle.connection == self._connection and handle.qos:
                    self._open -= 1
                    self.client.ack(handle.number, handle.qos)

    def quiet_for_s(self) -> float:
        """How long nothing came and nothing was left to be acknowledged."""
        return 0.0 if self._open > 0 or not self.client.is_connected() else time.monotonic() - self._last

    def close(self, *, forget: bool = False) -> None:
        """End the connection; with `forget`, the broker's memory of it."""
        self._closing = True
        deadline = time.monotonic() + _FLUSH_S
        while self.client.want_write() and time.monotonic() < deadline:
            # A connection that is closed with something unread is reset, and acknowledgements under way are lost.
            time.sleep(_FLUSH_S / 100)
        _mqtt.leave(self.client, self._version, forget=forget)

    def _on_connect(self, client: Any, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            _log.warning("the broker %s refuses the connection: %s", self._mqtt.address, code)
            return
        with self._lock:
            self._connection += 1
            self._open = 0
            self._last = time.monotonic()
        if self._connection > 1:
            kept = "its session is kept" if flags.session_present else "it has forgotten the session"
            _log.info("the broker %s is back; %s", self._mqtt.address, kept)
        if self._topic is not None:
            client.subscribe(self._topic, qos=1)
        else:
            client.unsubscribe(shared(self._mqtt))

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            _log.warning("the broker %s is away (%s); trying again until it is back", self._mqtt.address, code)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: Any, codes: Any, _properties: Any) -> None:
        refused = [str(code) for code in codes if code.is_failure]
        self._refused = ", ".join(refused)
        if refused:
            _log.error("the broker %s refuses %s: %s", self._mqtt.address, self._topic, self._refused)
        self._answered.set()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        with self._lock:
            self._last = time.monotonic()
            handle = Handle(self, self._connection, message.mid, message.qos)
            self._open += message.qos > 0
        content_type = getattr(message.properties, "ContentType", "") if message.properties is not None else ""
        body = addressed(bytes(message.payload), subject=subject_of(message.topic, self._mqtt.topic))
        delivery = Delivery(body, content_type, handle, message.topic)
        while not self._closing:
            try:
                self._inbox.put(delivery, timeout=_LOOK_S)
                return
            except queue.Full:
                continue


def shared(mqtt: Mqtt) -> str:
    """The subscription that consumers of one group share."""
    return f"$share/{mqtt.group}/{mqtt.topic}"


def subject_of(topic: str, subscribed: str) -> str:
    """The level of a topic in the place of the subscription's first wildcard: anna of `har/samples/anna/watch`.

    An app that cannot name its subject in the message is known by it.
    """
    levels = subscribed.split("/")
    place = next((index for index, level in enumerate(levels) if level in ("#", "+")), len(levels))
    said = topic.split("/")
    return said[place] if place < len(said) else ""
