"""The interface of links: send messages, hear what is durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from har.streaming._acks import Ack
from har.streaming.client._spool import Waiting


@dataclass
class Sent:
    """What became of messages.

    Attributes:
        numbers: of those that are on their way.
        safe: numbers of those that are on the project's disk, as the answer says.
        refused: of those that will never be taken, with the reason.
        wait_s: seconds before which nothing more should be sent; 0: at once.
        why: it waits.
    """

    numbers: list[int] = field(default_factory=list)
    safe: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    wait_s: float = 0.0
    why: str = ""


class Link(Protocol):
    """A way to the project. It raises a `SourceError` where it cannot be opened, and waits for what goes away later."""

    def send(self, messages: Sequence[Waiting]) -> Sent:
        """Send them, in this order; stops where the way is closed or the project is busy."""

    def hear(self, timeout_s: float) -> list[Ack]:
        """What was said to be durable since the last time."""

    def close(self) -> None:
        """End the connection."""
