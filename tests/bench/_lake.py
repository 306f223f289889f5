"""A lake of made-up samples, large enough that scoring it takes seconds."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from har.lake import Lake
from har.settings import Settings

SUBJECTS = 20
DAYS = 5


def generate(lake: Lake, settings: Settings, samples: int, seed: int = 0) -> int:
    """Fill samples and recordings with about `samples` rows: gravity that turns, movement, noise; returns how many."""
    rng = np.random.default_rng(seed)
    each = samples // (SUBJECTS * DAYS)
    rate = settings.sensors.rate_hz
    period_us = round(1e6 / rate)
    time_s = np.arange(each) / rate
    names = settings.activities.all
    for day in range(DAYS):
        date = dt.date(2024, 1, 1) + dt.timedelta(days=day)
        start = dt.datetime.combine(date, dt.time(8), dt.UTC)
        frames = []
        for number in range(SUBJECTS):
            columns = {}
            for channel in settings.sensors.channels:
                level = 9.8 * rng.uniform(-1, 1) * np.sin(2 * np.pi * time_s / 600 + rng.uniform(0, 6))
                movement = rng.uniform(0.2, 3) * np.sin(2 * np.pi * rng.uniform(0.5, 3) * time_s)
                columns[channel] = (level + movement + rng.normal(0, 0.3, each)).astype(np.float32)
            frames.append(
                pl.DataFrame(columns).with_columns(
                    pl.lit(date).alias("date"),
                    pl.lit(f"s{number:02d}").alias("subject"),
                    pl.lit("watch").alias("session"),
                    pl.lit(0, pl.Int32).alias("segment"),
                    (pl.lit(start) + pl.duration(microseconds=pl.int_range(each) * period_us)).alias("time"),
                    pl.Series("activity", np.asarray(names, object)[np.arange(each) // 3000 % len(names)], pl.String),
                    pl.lit(0, pl.Int8).alias("flags"),
                )
            )
        partitions = [(date, f"s{number:02d}") for number in range(SUBJECTS)]
        lake.samples.replace(pl.concat(frames).with_columns(pl.col("time").dt.cast_time_unit("us")), partitions)
        lake.recordings.replace(_recordings(lake, partitions, each), partitions)
    return each * SUBJECTS * DAYS


def _recordings(lake: Lake, partitions: list[tuple[dt.date, str]], samples: int) -> pl.DataFrame:
    known = {
        "date": [date for date, _ in partitions],
        "subject": [subject for _, subject in partitions],
        "session": "watch",
        "file": "generated",
        "sha256": [f"{date}{subject}" for date, subject in partitions],
        "samples": samples,
    }
    frame = pl.DataFrame(known)
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in lake.recordings.schema.items() if name not in known]
    return frame.with_columns(missing)
