"""The ways to a project: its own queue, HTTP, MQTT, Kafka."""

from __future__ import annotations

from pathlib import Path

from har.errors import SettingsError
from har.settings import Settings
from har.streaming.client.links._link import Link, Sent

__all__ = ["Link", "Sent", "open_link"]


def open_link(to: str, settings: Settings, *, token_file: Path | None = None) -> Link:
    """The way that `to` names: queue, an http(s) address, mqtt[:HOST:PORT] or kafka[:HOST:PORT,…].

    Raises:
        SettingsError: it names none.
        SourceError: the other side is away, or refuses us.
    """
    kind, _, rest = to.partition(":")
    stream = settings.stream
    if kind == "queue" and not rest:
        from har.streaming.client.links._queue import QueueLink

        return QueueLink(settings)
    if kind in ("http", "https"):
        from har.streaming.client.links._http import HttpLink, read_token

        return HttpLink(to, read_token(token_file))
    if kind == "mqtt":
        from har.streaming import _mqtt
        from har.streaming.client.links._mqtt import MqttLink

        return MqttLink(_mqtt.resolved(stream.mqtt, settings.root, rest))
    if kind == "kafka":
        from har.streaming.client.links._kafka import KafkaLink

        return KafkaLink(stream.kafka.model_copy(update={"servers": rest or stream.kafka.servers}), settings.root)
    raise SettingsError(
        where="--to",
        expected="queue, http://HOST:PORT, mqtt, mqtt:HOST:PORT, kafka or kafka:HOST:PORT",
        got=repr(to),
        remedy="Without a service or a broker, `queue` is the one.",
    )
