"""What tests of the stream share: devices that move, a source in memory, and a consumer that is driven step by step."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from loop_support import write_mean_model

from har.inference import ModelMetadata, Runs
from har.jobs.stream import Stopped, run
from har.lake import Lake
from har.project import open_project
from har.settings import Settings
from har.streaming.consumer import Answerer, Consumer, Hot, Model
from har.streaming.envelope import Arrays, Envelope, StreamKey, encode
from har.streaming.ledger import Ledger, read_ledger
from har.streaming.queue import open_queue
from har.streaming.sinks import LakeSink, Sunk
from har.streaming.sources import Delivery, Source
from har.streaming.state import HOT_FILE, HotStore
from har.streaming.state._sqlite import SqliteHotStore
from har.streaming.store import Shard, database, known_shards
from har.windows import cut

FIRST_US = 1_704_790_800_000_000
"""2024-01-09 09:00 UTC."""
SECOND = 1_000_000


def movement(seconds: float, *, seed: int, rate_hz: float = 50.0) -> np.ndarray:
    """float32 (n, 6), m/s² and rad/s: 12 s of PEN and 12 s of ABD in turn, as `write_mean_model` tells them."""
    count = round(seconds * rate_hz)
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (count, 6))
    turn = np.floor(np.arange(count) / rate_hz / 12) % 2
    values[:, 0] += 2 - 4 * turn
    values[:, 2] += 9.4
    return values.astype(np.float32)


def messages(
    key: StreamKey,
    values: np.ndarray,
    *,
    start_us: int = FIRST_US,
    rate_hz: float = 50.0,
    size: int = 50,
    first: int = 0,
) -> list[Envelope]:
    """Consecutive messages of `size` samples."""
    return [
        Envelope(
            key,
            first + number,
            start_us + round(row * 1e6 / rate_hz),
            rate_hz,
            np.ascontiguousarray(values[row : row + size], np.float32),
            "wrist",
        )
        for number, row in enumerate(range(0, len(values), size))
    ]


def body(envelope: Envelope, settings: Settings) -> bytes:
    """A message as a device sends it, in SI units."""
    key = envelope.key
    channels = settings.sensors.channels
    units = dict(zip(channels, settings.sensors.units, strict=True))
    return encode(
        Arrays(
            subject=key.subject,
            device=key.device,
            session=key.session,
            sequence=envelope.sequence,
            t0=envelope.t0_us,
            rate_hz=envelope.rate_hz,
            channels=channels,
            units=units,
            placement=envelope.placement,
            samples=envelope.samples,
        )
    )


@dataclass
class ListSource:
    """A real source whose broker is a list: at-least-once, in the order of the list."""

    waiting: list[Delivery] = field(default_factory=list)
    name: str = "list"
    acknowledged: int = 0
    paused: bool = False
    pauses: int = 0
    told: dict[StreamKey, int] = field(default_factory=dict)
    _polled: int = 0

    def poll(self, timeout_s: float, most: int) -> Sequence[Delivery]:
        if self.paused:
            return []
        found = self.waiting[self._polled : self._polled + most]
        self._polled += len(found)
        return found

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += len(deliveries)

    def tell(self, durable: Mapping[StreamKey, int]) -> None:
        self.told.update(durable)

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        pass


class Bench:
    """A consumer of a project, with real store, model file and hot store; `steps` drives it.

    Attributes:
        now_us: the wall clock that the store and the consumer see.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sources: Sequence[Source] = (),
        answerer: Answerer | None = None,
        hot: HotStore | None = None,
    ) -> None:
        self.settings = settings
        self.now_us = FIRST_US
        self.queue = open_queue(settings, clock=lambda: self.now_us / 1e6)
        file = settings.path("stream") / HOT_FILE
        self.hot_store = hot or SqliteHotStore(file, 48 * 3_600_000_000, clock=lambda: self.now_us)
        self.consumer = Consumer(
            settings, self.queue, sources, answerer or model_of(settings), Hot(self.hot_store, self.queue)
        )

    def steps(self, count: int = 1) -> None:
        """Turn the loop so many times, however the deadline of a batch stands."""
        for _ in range(count):
            self.consumer.step()

    def settle(self) -> None:
        """Work until nothing is left to do."""
        pause = threading.Event()
        while self.consumer.step() or self.consumer.waits:
            pause.wait(0.01 * self.consumer.waits)
        self.consumer.answer_all()

    def quiet(self, seconds: float = 60.0) -> None:
        """Let all devices be silent for so long, and work."""
        self.settle()
        self.now_us += round(seconds * 1e6)
        self.settle()

    def close(self) -> None:
        self.consumer.close()
        self.queue.close()
        self.hot_store.close()

    def ledger(self) -> Ledger:
        return read_ledger(self.queue.folder)


@contextmanager
def bench(settings: Settings, **how: object) -> Iterator[Bench]:
    """A `Bench` that is closed after the block."""
    made = Bench(settings, **how)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def model_of(settings: Settings) -> Model:
    """The model that tells `movement`'s two activities, as version 1."""
    path = settings.root / "mean-model.onnx"
    if not path.exists():
        write_mean_model(path, settings)
    return Model(settings, path, 1)


def flush(settings: Settings) -> Sunk:
    """Commit the outbox of all shards to the lake."""
    sink = LakeSink(settings, Lake(settings.path("lake"), settings.sensors.channels))
    sunk = Sunk()
    for number in range(known_shards(settings.path("stream"))):
        shard = Shard(database(settings.path("stream"), number))
        sunk.add(sink.drain(shard))
        shard.close()
    return sunk


def streamed(settings: Settings) -> pl.DataFrame:
    """The predictions in the lake that were made live, sorted."""
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    rows = lake.predictions.read().filter(pl.col("request_id").is_not_null())
    return rows.sort("date", "subject", "session", "start")


def await_true(ready: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until something holds that another process or thread brings about."""
    give_up = time.monotonic() + within_s
    pause = threading.Event()
    while not ready():
        assert time.monotonic() < give_up, "it did not come about in time"
        pause.wait(0.02)


def small_model(path: Path, settings: Settings) -> Path:
    """A real network of the project's shape, trained on a minute of made-up movement."""
    from har.training import FitOptions, Signal, export, fit  # torch, which most tests do without

    values = np.concatenate([movement(72, seed=number) for number in range(4)])
    labels = np.tile(np.floor(np.arange(3600) / 50 / 12) % 2, 4).astype(np.int16)
    windows = cut(
        values,
        np.repeat(np.arange(4), 3600),
        length=settings.length,
        stride=settings.stride,
        labels=labels,
        subjects=np.repeat([f"s{number:02d}" for number in range(4)], 3600),
    )
    sensors = settings.sensors
    signal = Signal(
        channels=sensors.channels,
        units=sensors.units,
        rate_hz=sensors.rate_hz,
        length=settings.length,
        activities=settings.activities.all,
        triples=((0, 1, 2), (3, 4, 5)),
    )
    options = FitOptions(seed=1, epochs=2, batch_size=32, device="cpu")
    fitted = fit(windows, ["s00", "s01", "s02"], ["s03"], signal=signal, options=options)
    metadata = ModelMetadata(
        project=settings.project.name,
        network=fitted.network,
        **settings.model_input,
        stride=settings.stride,
        feature_names=fitted.feature_names,
        temperature=fitted.temperature,
        abstain_below=0.5,
        git_commit="",
        data_version="samples@0",
        split_id="none",
        trained_at="2026-01-02T03:04:05+00:00",
        runs=Runs((12.0,) * 7, (8.0,) * 7, tuple(_others(number) for number in range(7)), (1 / 7,) * 7),
    )
    return export(fitted, path, metadata)


def _others(number: int) -> tuple[float, ...]:
    return tuple(0.0 if other == number else 1 / 6 for other in range(7))


_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["har.jobs.stream", "stream_support"])


def _consume(root: Path) -> None:
    """A process that consumes until SIGTERM, with the model file of the project."""
    os.environ["HAR_ROOT"] = str(root)
    project = open_project(root)
    logging.basicConfig(filename=root / "stream.log", level=logging.INFO)
    with Stopped().on_signals() as stop:
        run(project, stop, answerer=Model(project.settings, root / "mean-model.onnx", 1))


class Process:
    """A consumer in a process of its own, which works when the constructor returns."""

    def __init__(self, settings: Settings) -> None:
        model_of(settings)
        members = settings.path("stream") / "consumers"
        before = set(members.glob("*.lock"))
        self.process = _SERVER.Process(target=_consume, args=(settings.root,))
        self.process.start()
        await_true(lambda: bool(set(members.glob("*.lock")) - before) or self.process.exitcode is not None, 120)
        assert self.process.is_alive(), (settings.root / "stream.log").read_text()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()

    def stop(self) -> None:
        """SIGTERM, and wait for the clean end."""
        self.process.terminate()
        self.process.join(60)
        assert self.process.exitcode == 0
