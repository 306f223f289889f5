"""Answer what devices send while they measure: the jobs behind `har stream run`, `ledger` and `flush`."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from har.jobs.diagnose import device_reference
from har.project import Project
from har.streaming.consumer import Answerer, Champion, Consumer, Hot, Service, Work
from har.streaming.history import open_history
from har.streaming.ledger import Ledger, read_ledger
from har.streaming.new_devices import Looked, NewDevices, read_devices
from har.streaming.queue import open_queue
from har.streaming.sinks import Deliveries, LakeSink, Sunk
from har.streaming.sources import Source, open_source
from har.streaming.state import open_hot
from har.streaming.store import Receiver, Shard, database, known_shards

_LOG = logging.getLogger("har.stream")
_GARBAGE = 100_000
"""New objects between two collections of garbage; Python's 700 cost a tenth of the throughput."""


class Stopped:
    """An event that SIGTERM and SIGINT set, while the block runs."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.event.set()

    @contextmanager
    def on_signals(self) -> Iterator[threading.Event]:
        """Set the event at the first signal; the handlers before are back after the block."""
        kinds = (signal.SIGTERM, signal.SIGINT)
        before = {kind: signal.signal(kind, self._stop) for kind in kinds}
        try:
            yield self.event
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def run(
    project: Project,
    stop: threading.Event,
    *,
    sources: Sequence[Source] | None = None,
    answerer: Answerer | None = None,
) -> Work:
    """Receive, answer and deliver until `stop` is set. Several such processes share the shards of a folder.

    What waits when it stops is worked on by the next one, also after a crash.

    Args:
        project: its settings say where messages come from, and its champion answers.
        stop: ends the work.
        sources: in place of those of `stream.sources`.
        answerer: in place of the champion in this process, or of `stream.service`.

    Raises:
        SourceError: the broker of a source is away.
        SettingsError: the client of a source or store is not installed.
        StorageError: the folder of the stream cannot be used.
    """
    settings = project.settings
    with ExitStack() as opened:
        if answerer is None:
            answerer = _answerer(project, opened)
        history = open_history(settings)
        receivers: list[Receiver] = ["hot"]
        if history is not None:
            receivers.append("history")
            opened.callback(history.close)
        queue = open_queue(settings)
        opened.callback(queue.close)
        hot_store = open_hot(settings)
        opened.callback(hot_store.close)
        if sources is None:
            sources = [open_source(name, settings) for name in settings.stream.sources if name != "queue"]
        lake = LakeSink(settings, project.lake, receivers)
        consumer: Consumer
        deliveries = Deliveries(
            queue,
            lambda: list(consumer.workers),
            lake,
            history,
            lake_s=settings.stream.lake_s,
            receivers=receivers,
        )
        new = NewDevices(settings, lambda: device_reference(project)[0])
        opened.callback(new.close)
        consumer = Consumer(
            settings, queue, sources, answerer, Hot(hot_store, queue), handed_over=deliveries.finish, saw=new.saw
        )
        deliveries.start()
        # What lives as long as the process need not be looked at again by each collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE)
        _LOG.info("the stream runs: %s", ", ".join(settings.stream.sources))
        try:
            consumer.run(stop, before_release=deliveries.close)
        finally:
            _LOG.info(
                "the stream ends: %d messages and %d windows answered, %d samples and %d predictions in the lake",
                consumer.work.messages,
                consumer.work.windows,
                deliveries.sunk.samples,
                deliveries.sunk.predictions,
            )
        return consumer.work


def ledger(project: Project) -> Ledger:
    """What became of every message."""
    return read_ledger(project.settings.path("stream"))


def doubtful_devices(project: Project) -> list[Looked]:
    """Devices about which something is off, by their first seconds in the stream."""
    return [one for one in read_devices(project.settings.path("stream")) if one.findings]


def flush(project: Project) -> Sunk:
    """Commit what is answered and not in the lake yet; also while consumers run.

    Raises:
        LakeError: a table cannot be written; the rest stays in the outbox.
        StorageError: the store cannot be read or written.
    """
    settings = project.settings
    receivers: list[Receiver] = ["hot"]
    if settings.stream.history.address:
        receivers.append("history")
    sink = LakeSink(settings, project.lake, receivers)
    sunk = Sunk()
    folder = settings.path("stream")
    for number in range(known_shards(folder)):
        shard = Shard(database(folder, number))
        try:
            sunk.add(sink.drain(shard))
        finally:
            shard.close()
    return sunk


def _answerer(project: Project, opened: ExitStack) -> Answerer:
    settings = project.settings
    if settings.stream.service:
        service = Service(settings, project.registry)
        opened.callback(service.close)
        return service
    return Champion(settings, project.registry)
