"""What the Kafka source and those who send have in common: the client, its properties, errors with the way out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from har.errors import SourceError, reason
from har.settings import Kafka

_WAIT_S = 5.0


def library() -> ModuleType:
    """confluent-kafka.

    Raises:
        SourceError: it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError as error:
        raise SourceError(
            where="stream.kafka",
            problem="confluent-kafka, the client of Kafka brokers, is not installed",
            remedy="Install it with `uv pip install 'har-mlops[stream]'` or `uv pip install confluent-kafka`.",
        ) from error
    module: ModuleType = confluent_kafka
    return module


def properties(kafka: Kafka, root: Path) -> dict[str, Any]:
    """The connection's properties, with those of `properties_file`, which lies in `root` unless it is absolute.

    Raises:
        SourceError: the file cannot be read, or has a line that is no property.
    """
    base: dict[str, Any] = {"bootstrap.servers": kafka.servers, "reconnect.backoff.max.ms": 30_000}
    if kafka.properties_file is None:
        return base
    path = root / kafka.properties_file
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_file(path, reason(error)) from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise _bad_file(path, f"a line without '=' ({number})")
        base[name.strip()] = value.strip()
    return base


def partitions_of(client: Any, kafka: Kafka, topic: str) -> int:
    """The number of partitions of a topic, 0 if there is no such topic.

    Raises:
        SourceError: the brokers are away, or refuse us.
    """
    module = library()
    try:
        found = client.list_topics(topic, timeout=_WAIT_S).topics[topic]
    except module.KafkaException as error:
        raise away(kafka, error.args[0].str()) from error
    if found.error is None:
        return len(found.partitions)
    if found.error.code() in (module.KafkaError.UNKNOWN_TOPIC_OR_PART, module.KafkaError.LEADER_NOT_AVAILABLE):
        return 0
    raise away(kafka, found.error.str())


def away(kafka: Kafka, why: str) -> SourceError:
    """The brokers cannot be reached, or refuse us."""
    return SourceError(
        where=f"stream.kafka.servers, {kafka.servers}",
        expected="a Kafka broker",
        got=why,
        remedy="Start it, or set stream.kafka.servers; for TLS or a login, also stream.kafka.properties_file.",
    )


def acks_topic(kafka: Kafka) -> str:
    """Where devices are told what is durable, keyed by device."""
    return f"{kafka.topic}.ack"


def refused_properties(error: Exception) -> SourceError:
    """librdkafka does not know a property, or its value."""
    return SourceError(
        where="stream.kafka.properties_file",
        expected="properties that librdkafka knows",
        got=reason(error.args[0].str()) if hasattr(error.args[0], "str") else reason(error),
        remedy="Correct the line; librdkafka's CONFIGURATION.md lists them.",
    )


def _bad_file(path: Path, got: str) -> SourceError:
    return SourceError(
        where="stream.kafka.properties_file",
        expected=f"lines NAME=VALUE in {path}",
        got=got,
        remedy="Write librdkafka's properties into it, such as security.protocol=SASL_SSL.",
    )
