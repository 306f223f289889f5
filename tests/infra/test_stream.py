"""The consumer of `make up`: it starts with the first message, receives before there is a model, and ends cleanly."""

from __future__ import annotations

import threading
from pathlib import Path

from stream_support import await_true, messages, movement

from har.settings import Settings
from har.streaming.envelope import StreamKey
from har.streaming.ledger import read_ledger
from har.streaming.queue import open_queue
from infra.local.stream import consumer


def test_it_starts_with_the_first_message_and_keeps_what_no_model_has_answered(
    settings: Settings, tmp_path: Path
) -> None:
    said: list[str] = []
    part = consumer(settings, tmp_path / "logs", said.append)
    part.tick()
    assert not part.runs
    queue = open_queue(settings)
    queue.put(messages(StreamKey("s01", "watch", "a"), movement(20, seed=1)))

    def ready() -> bool:
        part.tick()
        return part.ready

    try:
        await_true(ready, 120)
        log = tmp_path / "logs" / "stream.log"
        await_true(lambda: "answered once there is a champion" in log.read_text(), 60)
        more = messages(StreamKey("s02", "watch", "a"), movement(5, seed=2))
        assert queue.put(more).accepted == 5
    finally:
        part.release()
        threading.Event().wait(0.1)
        part.stop()
    total = read_ledger(settings.path("stream")).total
    assert (total.received, total.waiting, total.scored) == (25, 25, 0)
    assert '"level": "ERROR", "logger": "uncaught"' not in log.read_text()
