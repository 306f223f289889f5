"""Samples as partners send them to the batch scorer, and how they can be spoiled."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from serving_support import movements

from har.lake import Lake
from har.settings import Settings


def recording(
    settings: Settings, day: str, subject: str, session: str, *, count: int, seed: int = 0, segment: int = 0
) -> pl.DataFrame:
    """`count` windows' worth of samples of one session, with the lake's columns."""
    values = movements(count, seed=seed).reshape(-1, len(settings.sensors.channels))
    # Segments start a minute apart.
    start = dt.datetime.fromisoformat(f"{day}T09:00:00+00:00") + dt.timedelta(minutes=segment)
    stamps = [start + dt.timedelta(milliseconds=20 * row) for row in range(len(values))]
    columns = {
        "date": [dt.date.fromisoformat(day)] * len(values),
        "subject": subject,
        "session": session,
        "segment": segment,
        "time": stamps,
        **dict(zip(settings.sensors.channels, values.T, strict=True)),
        "activity": None,
        "flags": 0,
    }
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    schema = lake.samples.schema
    return pl.DataFrame(columns, schema_overrides=dict(schema)).cast(schema)


def two_days(settings: Settings) -> pl.DataFrame:
    """Two days of three subjects, two sessions each, one with a gap and one too short for a window."""
    parts = []
    for seed, (day, subject) in enumerate((day, s) for day in ("2024-01-01", "2024-01-02") for s in ("a", "b", "c")):
        parts.append(recording(settings, day, subject, "am", count=30, seed=seed))
        parts.append(recording(settings, day, subject, "am", count=13, seed=seed + 50, segment=2))
        short = recording(settings, day, subject, "pm", count=2, seed=seed + 90, segment=9)
        parts.append(short[: settings.length - 1] if subject == "b" else short)
    return pl.concat(parts)


def parquet(frame: pl.DataFrame, path: Path, **options: Any) -> Path:
    """Write the frame; returns the path."""
    frame.write_parquet(path, **options)
    return path


def spoiled(frame: pl.DataFrame, row: int, column: str, value: object) -> pl.DataFrame:
    """The frame with one value changed."""
    index = np.arange(len(frame)) == row
    other = pl.when(pl.lit(pl.Series(index))).then(pl.lit(value, frame.schema[column])).otherwise(pl.col(column))
    return frame.with_columns(other.alias(column))
