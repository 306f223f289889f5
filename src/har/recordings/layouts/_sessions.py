"""Where a recording is split into sessions of at most a day."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.recordings.layouts._layout import Clock

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


def session_bounds(times_us: NDArray[np.int64], clock: Clock, zone: str) -> list[int]:
    """The first row of each session, and the number of rows.

    A recording is split at pauses of more than a day (without dates: an hour). Parts that are still longer than a day
    are split at every midnight in `zone`.
    """
    longest = _DAY_US if clock == "utc" else _HOUR_US
    cuts = np.flatnonzero(np.diff(times_us) > longest) + 1
    if clock == "utc":
        bounds = [0, *cuts.tolist(), len(times_us)]
        for first, last in pairwise(bounds):
            piece = times_us[first:last]
            if piece.max() - piece.min() > _DAY_US:
                cuts = np.union1d(cuts, first + _midnights(piece, zone))
    return [0, *cuts.tolist(), len(times_us)]


def session_name(session: str, number: int) -> str:
    """The name of a recording's session by its number, from 1."""
    return session if number == 1 else f"{session}-{number}"


def _midnights(times_us: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    dates = pl.Series(times_us).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.date()
    return np.flatnonzero((dates.to_physical().diff() > 0).fill_null(False).to_numpy())
