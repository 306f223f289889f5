"""The same windows scored offline: `har.predictions.predict` on frames in memory, as the night does."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import numpy as np
import polars as pl

from har.inference import Classifier
from har.predictions import predict
from har.settings import Settings
from tests.bench.stream._messages import Messages


def rate(settings: Settings, model: Path, devices: int, rounds: int) -> float:
    """Samples per second of one thread, reading excluded, of so many devices with so many messages each."""
    messages = Messages(settings, devices)
    seconds, date = messages.seconds, dt.date(2024, 1, 1)
    rows = rounds * messages.rows
    start = dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)
    period = pl.duration(microseconds=pl.int_range(rows) * round(1e6 / messages.rate_hz))
    times = pl.select((pl.lit(start) + period).dt.cast_time_unit("us")).to_series()
    parts = []
    for device, key in enumerate(messages.keys):
        values = np.concatenate([seconds[(device * 7 + number) % len(seconds)] for number in range(rounds)])
        columns = {name: values[:, index] for index, name in enumerate(messages.channels)}
        frame = pl.DataFrame({"session": [key.session] * rows, "segment": [0] * rows, "time": times, **columns})
        parts.append(((date, key.subject), frame.with_columns(pl.col("segment").cast(pl.Int32))))
    classifier = Classifier(model, threads=1, arena=True)
    predict(parts[:1], settings, classifier, 1)
    began = time.perf_counter()
    predict(parts, settings, classifier, 1)
    return devices * rows / (time.perf_counter() - began)
