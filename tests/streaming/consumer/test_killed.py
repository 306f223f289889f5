"""Consumers that are killed at any moment: every message has one fate, and every row is in the lake once."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from stream_support import Process, await_true, flush, messages, movement, streamed

from har.inference import Classifier
from har.jobs.score import chunks_to_score, pending, score_chunk
from har.lake import Lake
from har.settings import load_settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.ledger import read_ledger
from har.streaming.queue import open_queue

_TOML = """
[stream]
shards = 2
lateness_s = 2.0
idle_s = 3.0
lake_s = 0.4
deadline_ms = 20.0
"""
_STREAMS = 4
_COLUMNS = ["subject", "session", "start", "end", "activity", "confidence", "abstained"]


class _Devices:
    """Devices that send a message each per turn, some twice; `stop` after the turn in progress."""

    def __init__(self, root: Path, seconds: int) -> None:
        settings = load_settings(root)
        self.queue = open_queue(settings)
        self.values = [movement(seconds, seed=number) for number in range(_STREAMS)]
        keys = [StreamKey(f"s{number:02d}", "watch", "a") for number in range(_STREAMS)]
        self.sent = [messages(key, values) for key, values in zip(keys, self.values, strict=True)]
        self.count = 0
        self._turn = 0
        self._drawn = np.random.default_rng(3)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> _Devices:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._stop.wait(0.03) and self.turn():
            pass

    def turn(self) -> bool:
        now = [stream[self._turn] for stream in self.sent if self._turn < len(stream)]
        self._turn += 1
        again: list[Envelope] = [one for one in now if self._drawn.random() < 0.1]
        self.count += len(now) + len(again)
        if now:
            self.queue.put([*now, *again])
        return bool(now)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.release)])
def test_nothing_is_lost_or_doubled_when_the_consumer_is_killed(project: Path, kills: int) -> None:
    (project / "har.toml").write_text((project / "har.toml").read_text() + _TOML)
    settings = load_settings(project)
    folder = settings.path("stream")
    drawn = np.random.default_rng(kills)
    pause = threading.Event()
    with _Devices(project, 60 * max(1, kills // 5)) as devices:
        for _ in range(kills):
            process = Process(settings)
            pause.wait(float(drawn.uniform(0.05, 1.2)))
            process.kill()
            assert read_ledger(folder).balances
    while devices.turn():
        pass
    process = Process(settings)
    await_true(lambda: read_ledger(folder).total.waiting == 0)
    process.stop()
    flush(settings)

    total = read_ledger(folder).total
    assert read_ledger(folder).balances
    count = sum(len(stream) for stream in devices.sent)
    assert (total.received, total.scored, total.duplicate) == (devices.count, count, devices.count - count)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    samples = lake.samples.read().sort("subject", "time")
    for number, values in enumerate(devices.values):
        mine = samples.filter(pl.col("subject") == f"s{number:02d}")
        assert len(mine) == len(values)
        assert mine["time"].n_unique() == len(values)
        np.testing.assert_array_equal(mine.select(lake.channels).to_numpy(), values)
    live = streamed(settings)
    assert total.windows == len(live)
    for chunk in chunks_to_score(lake, pending(lake, 1)):
        score_chunk(lake, settings, Classifier(project / "mean-model.onnx", threads=1), 1, chunk)
    night = lake.predictions.read().filter(pl.col("request_id").is_null())
    order = ["subject", "session", "start"]
    assert live.select(_COLUMNS).sort(order).equals(night.select(_COLUMNS).sort(order))
    recorded = lake.recordings.read()
    assert recorded["samples"].sum() == len(samples)
