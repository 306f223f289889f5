"""The interface of sources: poll, acknowledge what is durable, pause; and how one is opened by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from har.settings import Settings
from har.streaming.envelope import StreamKey


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it came.

    Attributes:
        body: its bytes.
        content_type: application/json, application/msgpack or application/vnd.apache.arrow.stream; "": JSON or
            MessagePack, by the first byte.
        handle: what the source needs to acknowledge it.
        topic: where it was sent to, for messages.
    """

    body: bytes
    content_type: str = ""
    handle: Any = None
    topic: str = ""


class Source(Protocol):
    """A place that messages come from. All methods are called by one thread."""

    name: str

    def poll(self, timeout_s: float, most: int) -> Sequence[Delivery]:
        """The next messages, at most `most`; empty after `timeout_s` without any.

        Raises:
            SourceError: the broker is away and does not come back; what is missing and how to start it.
        """

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """These messages are durable here (or refused for good): the source need not keep them."""

    def tell(self, durable: Mapping[StreamKey, int]) -> None:
        """Tell devices the sequence up to which all messages of a stream are durable here."""

    def pause(self) -> None:
        """Send nothing more until `resume`: too many messages wait. What was sent stays to be polled."""

    def resume(self) -> None:
        """Go on."""

    def close(self) -> None:
        """End the connection; what was not acknowledged comes again."""


@dataclass(frozen=True)
class SourceKind:
    """A kind of source, as a module of this package or a Python file of the user defines it in `SOURCE`.

    Attributes:
        name: in `stream.sources` of har.toml.
        about: in one line, what it reads from.
        open: makes the source; its second argument is what follows the name and a colon in `stream.sources`
            (`"replay:old/inbox"`), "" if nothing does.
    """

    name: str
    about: str
    open: Callable[[Settings, str], Source]
