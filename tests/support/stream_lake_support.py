"""Scored days in a lake, as the stream or the nightly job leaves them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from har.lake import Lake

FIRST = dt.date(2026, 3, 1)
"""The day with the number 0."""

Put = tuple[int, str, int, str]
"""Number of the day, subject, windows of 4 s, one every 2 s, and the activity of all of them."""


def put_days(lake: Lake, *days: Put, request_id: str | None = None) -> None:
    """Write days with their samples at 50 Hz, each table in one commit."""
    predictions, samples = zip(*(_day(lake, *day, request_id) for day in days), strict=True)
    partitions = [(FIRST + dt.timedelta(days=day), subject) for day, subject, *_ in days]
    lake.predictions.replace(pl.concat(predictions), partitions)
    lake.samples.replace(pl.concat(samples), partitions)


def _day(
    lake: Lake, day: int, subject: str, windows: int, activity: str, request_id: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    date = FIRST + dt.timedelta(days=day)
    noon = dt.datetime.combine(date, dt.time(12), dt.UTC)
    starts = [noon + dt.timedelta(seconds=2 * number) for number in range(windows)]
    predictions = pl.DataFrame(
        {
            "date": date,
            "subject": subject,
            "session": "a",
            "start": starts,
            "end": [start + dt.timedelta(seconds=4) for start in starts],
            "activity": activity,
            "confidence": [0.5 + 0.25 * (number % 2) for number in range(windows)],
            "abstained": False,
            "model_version": 1,
            "request_id": request_id,
        }
    )
    rows = 100 * (windows + 1)
    rng = np.random.default_rng([day, *subject.encode()])
    values = rng.normal(0, 0.5, (rows, len(lake.channels))).astype(np.float32)
    values[:, 2] += 9.81
    samples = pl.DataFrame(values, list(lake.channels)).with_columns(
        pl.lit(date).alias("date"),
        pl.lit(subject).alias("subject"),
        pl.lit("a").alias("session"),
        pl.lit(0).alias("segment"),
        pl.Series("time", [noon + dt.timedelta(milliseconds=20 * row) for row in range(rows)]),
        pl.lit(None).alias("activity"),
        pl.lit(0).alias("flags"),
    )
    return _as(predictions, lake.predictions.schema), _as(samples, lake.samples.schema)


def _as(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    missing = [pl.lit(None).alias(name) for name in schema if name not in frame.columns]
    return frame.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in schema.items())
