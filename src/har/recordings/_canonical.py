"""The canonical sample table: which columns every recording ends up with."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

FLAGS = {"saturated": 1, "stuck": 2, "interpolated": 4}
"""Bits of the column `flags`.

saturated: a channel read its full scale or more. stuck: a channel held one value for a second or longer.
interpolated: no measured sample lies within 0.6 of an interval (half of it, and some room for jitter).
"""

TIME = pl.Datetime("us", "UTC")


def canonical_schema(channels: Iterable[str]) -> pl.Schema:
    """Columns and types of the sample table: channels in m/s² or rad/s, `activity` null where unlabelled."""
    return pl.Schema(
        {
            "date": pl.Date(),
            "subject": pl.String(),
            "session": pl.String(),
            "segment": pl.Int32(),
            "time": TIME,
            **{channel: pl.Float32() for channel in channels},
            "activity": pl.String(),
            "flags": pl.Int8(),
        }
    )
