"""The online service and the nightly job give the same answer to every window, also where there is no signal."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from prometheus_client import CollectorRegistry
from serving_support import CHANNELS, LENGTH, movements, write_settings

from bentos.online._answering import Answering
from bentos.online._contract import Windows
from har.inference import Classifier, Package
from har.plausibility import NO_SIGNAL
from har.predictions import predict

COUNT = 400
DAY = dt.date(2024, 1, 1)
LIMITS = np.array([16 * 9.80665] * 3 + [34.9] * 3, np.float32)


def drawn() -> np.ndarray:
    """Windows (400, 16, 6): movements, and sensors that are off, held, dead or at their limit, wholly or in part."""
    rng = np.random.default_rng(7)
    windows = movements(COUNT, seed=7)
    for number in np.flatnonzero(rng.random(COUNT) < 0.6):
        begin = int(rng.integers(0, LENGTH)) if rng.random() < 0.4 else 0
        channels = np.flatnonzero(rng.random(CHANNELS) < rng.choice([0.3, 1.0]))
        held = windows[number, begin, channels]
        values = (0 * held, held, held + rng.integers(-1, 2, (LENGTH - begin, len(channels))) * 1e-5, LIMITS[channels])
        windows[number, begin:, channels] = np.broadcast_to(values[rng.integers(4)], (LENGTH - begin, len(channels))).T
    return windows


def test_window_by_window(package: Package, tmp_path: Path) -> None:
    settings = write_settings(tmp_path / "project")
    windows = drawn()
    places = np.repeat(np.arange(COUNT), LENGTH)
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    stamps = [start + dt.timedelta(milliseconds=20 * at) for at in range(len(places))]
    columns = dict(zip(settings.sensors.channels, windows.reshape(-1, CHANNELS).T, strict=True))
    frame = pl.DataFrame(
        {"session": "a", "segment": places, "time": pl.Series(stamps, dtype=pl.Datetime("us", "UTC")), **columns}
    )
    offline = predict([((DAY, "s01"), frame)], settings, Classifier(package.model, threads=1), package.version)
    answering = Answering(replace(package, shadow=None), settings, registry=CollectorRegistry())
    online = []
    for first, count in ((0, 1), (1, 7), (8, 200), (208, 192)):
        chosen = Windows(windows[first : first + count])
        online += asyncio.run(answering.classify(chosen, f"r{first}"))["predictions"]
    assert [one["activity"] for one in online] == offline["activity"].to_list()
    assert [one["abstained"] for one in online] == offline["abstained"].to_list()
    assert [one["unknown"] for one in online] == offline["unknown"].to_list()
    np.testing.assert_allclose([one["confidence"] for one in online], offline["confidence"], atol=1e-5)
    silent = sum(one["activity"] == NO_SIGNAL for one in online)
    assert 40 < silent < COUNT - 40
