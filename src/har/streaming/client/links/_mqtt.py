"""To an MQTT broker, with QoS 1; what is durable comes by `stream.mqtt.acks`/DEVICE, not by the broker's PUBACK."""

from __future__ import annotations

import logging
import queue
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from har.settings import Mqtt
from har.streaming import _mqtt
from har.streaming._acks import Ack, read_acks
from har.streaming.client._spool import Waiting
from har.streaming.client.links._link import Sent

_log = logging.getLogger("har.stream.client")
_AWAY_S = 0.2


class MqttLink:
    """A client that reconnects by itself.

    Args:
        mqtt: the broker.
    """

    def __init__(self, mqtt: Mqtt) -> None:
        self._mqtt = mqtt
        self._version = _mqtt.version_of(mqtt)
        self._base = mqtt.topic.partition("#")[0].partition("+")[0].rstrip("/")
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._devices: set[str] = set()
        self._client = _mqtt.client(mqtt, self._version, f"har-send-{secrets.token_hex(6)}", keep_session=False)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = lambda _client, _data, message: self._heard.put(bytes(message.payload))
        _mqtt.connect(self._client, mqtt, self._version, keep_session=False)

    def send(self, messages: Sequence[Waiting]) -> Sent:
        """See `Link`."""
        sent = Sent()
        if not self._client.is_connected():
            sent.wait_s, sent.why = _AWAY_S, f"the broker {self._mqtt.address} is away"
            return sent
        self._listen(message.key.device for message in messages)
        for message in messages:
            self._client.publish(
                f"{self._base}/{_mqtt.as_level(message.key.subject)}/{_mqtt.as_level(message.key.device)}",
                message.body,
                qos=1,
                properties=self._properties(message.content_type),
            )
            sent.numbers.append(message.number)
        return sent

    def hear(self, timeout_s: float) -> list[Ack]:
        """See `Link`."""
        acks: list[Ack] = []
        try:
            acks += read_acks(self._heard.get(timeout=timeout_s) if timeout_s else self._heard.get_nowait())
            while True:
                acks += read_acks(self._heard.get_nowait())
        except queue.Empty:
            return acks

    def close(self) -> None:
        """See `Link`."""
        _mqtt.leave(self._client, self._version)

    def _listen(self, devices: Iterable[str]) -> None:
        for device in set(devices) - self._devices:
            self._devices.add(device)
            self._client.subscribe(self._topic(device), qos=1)

    def _topic(self, device: str) -> str:
        return f"{self._mqtt.acks}/{_mqtt.as_level(device)}"

    def _properties(self, content_type: str) -> Any:
        if self._version != _mqtt.V5:
            return None
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        return properties

    def _on_connect(self, client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            _log.warning("the broker %s refuses the connection: %s", self._mqtt.address, code)
            return
        for device in list(self._devices):
            client.subscribe(self._topic(device), qos=1)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            _log.warning("the broker %s is away (%s); the spool keeps everything", self._mqtt.address, code)
