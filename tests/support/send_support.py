"""What arrived of the messages that a client sent."""

from __future__ import annotations

from har.settings import Settings
from har.streaming.ledger import read_ledger
from har.streaming.queue import open_queue


def received(settings: Settings) -> tuple[int, int]:
    """Messages in the store, and duplicates that came beside them."""
    queue = open_queue(settings)
    total = read_ledger(queue.folder).total
    queue.close()
    return total.received - total.duplicate, total.duplicate
