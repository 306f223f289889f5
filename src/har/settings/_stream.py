"""The sections `[stream]` and `[stream.…]`: samples that devices send while they measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from har.settings._sections import Section


class Mqtt(Section):
    """The MQTT broker that `har stream run` reads from, with QoS 1 and a persistent session."""

    address: str = Field(default="127.0.0.1:1883", pattern=r"^[^\s/:]+:[0-9]{1,5}$")
    topic: str = Field(default="har/samples/#", min_length=1)
    """Of the samples; `har/samples/SUBJECT/DEVICE` is what `har stream send` writes to."""
    acks: str = Field(default="har/ack", min_length=1)
    """`acks/DEVICE` gets, per session, the sequence up to which the device's samples are durable here."""
    group: str = Field(default="har", pattern=r"^[A-Za-z0-9_-]{0,32}$")
    """Consumers of one group share the messages, by a shared subscription of MQTT 5; empty: one receives them all."""
    in_flight: int = Field(default=200, ge=1, le=65_535)
    """Messages that the broker sends before the first of them is acknowledged."""
    tls_ca: Path | None = None
    user: str = ""
    password_file: Path | None = None


class Kafka(Section):
    """The Kafka cluster that `har stream run` reads from, as one member of a consumer group."""

    servers: str = "127.0.0.1:9092"
    topic: str = Field(default="har.samples", min_length=1)
    """Messages are keyed by subject."""
    group: str = Field(default="har", min_length=1)
    session_timeout_s: float = Field(default=6.0, ge=1)
    properties_file: Path | None = None
    """Of librdkafka, such as those of TLS and SASL: a `name=value` per line. Passwords belong here, not in har.toml."""


class Hot(Section):
    """The store of each subject's present state."""

    address: str = Field(default="", pattern=r"^(rediss?://\S+)?$")
    """Of a Redis or Valkey server; empty: a SQLite file in `paths.stream`."""
    password_file: Path | None = None
    """Of a server; without one, its password is part of the address or in REDISCLI_AUTH."""
    keep_h: float = Field(default=48.0, gt=0)
    """A subject that sent nothing for this long is forgotten; the lake keeps everything."""


class History(Section):
    """The table of predictions for dashboards."""

    address: str = Field(default="", pattern=r"^(postgres(ql)?://\S+)?$")
    """Of a Postgres database; empty: none is written."""
    password_file: Path | None = None
    keep_days: int = Field(default=365, ge=1)


SourceName = Annotated[str, Field(pattern=r"^([a-z][a-z0-9-]*|[^:]+\.py)(:.+)?$")]


class Stream(Section):
    """Samples that devices send while they measure: sources, windows in progress, where answers go."""

    sources: tuple[SourceName, ...] = ("queue",)
    """queue: the on-disk queue behind `POST /samples` of the online service; mqtt; kafka; or a Python file of the
    project that defines a source."""
    shards: int = Field(default=4, ge=1, le=64)
    """Parts of the state on disk, by subject; so many consumers can share the work."""
    lateness_s: float = Field(default=5.0, ge=0)
    """A message that is missing in a device's sequence is waited for until the device's own time is this much later."""
    idle_s: float = Field(default=10.0, gt=0)
    """A device that sends nothing for this long has its segment closed, so that its last windows are answered."""
    batch_windows: int = Field(default=64, ge=1)
    deadline_ms: float = Field(default=50.0, gt=0)
    """The model is called for so many windows, or when the oldest has waited for so long."""
    queue_messages: int = Field(default=200_000, ge=1)
    """With more messages waiting, HTTP is answered 429, MQTT is not acknowledged, and Kafka's partitions pause."""
    message_bytes: int = Field(default=1_000_000, ge=1000)
    lake_s: float = Field(default=60.0, gt=0)
    """Between two commits to the lake."""
    service: str = Field(default="", pattern=r"^(https?://[^\s/]+)?$")
    """Address of an online service that answers the windows; empty: the champion, in the consumer's own process."""
    pages: Literal["loopback", "token", "off"] = "loopback"
    """Who may open /live, /label and /subjects: this machine, or everybody with a token, too."""
    mqtt: Mqtt = Mqtt()
    kafka: Kafka = Kafka()
    hot: Hot = Hot()
    history: History = History()
