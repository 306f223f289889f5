"""The signal around a window, as a page can draw it and as a model takes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from har.cutting import matrix
from har.labelling import lttb
from har.settings import Settings

CONTEXT_S = 30.0
"""Shown before and after the window."""
POINTS = 600
"""Per channel, over the whole context: two for each pixel of a narrow screen."""
_DETAIL_S = 2.0
"""Shown in full before and after the window, beside the downsampled context."""
_DIGITS = 3
_GAP = 1.5
"""So many intervals between two samples are a gap."""


@dataclass(frozen=True)
class Context:
    """Samples around a window.

    Attributes:
        times_us: (n,), increasing, since 1970.
        values: float32 (n, C).
        window: which samples are the window's, (n,) bool.
        from_us: where the context begins, whether or not there is a sample.
        to_us: where it ends.
    """

    times_us: NDArray[np.int64]
    values: NDArray[np.float32]
    window: NDArray[np.bool_]
    from_us: int
    to_us: int


def context_of(day: pl.DataFrame, session: str, start: dt.datetime, end: dt.datetime, settings: Settings) -> Context:
    """The samples of a session around a window.

    Args:
        day: the samples of its subject-day: session, time and the channels.
        session: the recording.
        start: of the window.
        end: the stamp after its last sample.
        settings: the channels.
    """
    around = dt.timedelta(seconds=CONTEXT_S)
    frame = day.filter(
        pl.col("session") == session, pl.col("time") >= start - around, pl.col("time") < end + around
    ).sort("time")
    times = frame["time"]
    return Context(
        times_us=times.to_physical().to_numpy(),
        values=matrix(frame, settings.sensors.channels),
        window=((times >= start) & (times < end)).to_numpy(),
        from_us=microseconds(start - around),
        to_us=microseconds(end + around),
    )


def drawn(context: Context, settings: Settings) -> bytes:
    """JSON of a context for the page: times in ms from the window's start, values in the lake's units.

    `channels`: name, unit, `t` and `v`, downsampled, with null where a gap is; `detail`: the window and two seconds on
    either side as they were measured, `t` for all channels and `v` for each.
    """
    start_us = int(context.times_us[context.window][0])
    end_us = int(context.times_us[context.window][-1])
    runs = _runs(context.times_us, settings.sensors.rate_hz)
    channels = []
    for column, (name, unit) in enumerate(zip(settings.sensors.channels, settings.sensors.units, strict=True)):
        chosen = _chosen(context.times_us, context.values[:, column], runs)
        times, values = _with_breaks(context, chosen, column, start_us)
        channels.append({"name": name, "unit": unit, "t": times, "v": values})
    margin = round(1e6 * _DETAIL_S)
    near = (context.times_us >= start_us - margin) & (context.times_us <= end_us + margin)
    detail = {
        "t": ((context.times_us[near] - start_us) // 1000).tolist(),
        "v": [_rounded(context.values[near, column]) for column in range(context.values.shape[1])],
    }
    return orjson.dumps({"channels": channels, "detail": detail})


def thinned(context: Context, settings: Settings, points: int) -> NDArray[np.int64]:
    """Indices that show every channel well, for formats whose channels share their times; (m,), increasing."""
    runs = _runs(context.times_us, settings.sensors.rate_hz)
    columns = range(context.values.shape[1])
    kept = [np.concatenate(_chosen(context.times_us, context.values[:, column], runs, points)) for column in columns]
    return np.unique(np.concatenate(kept))


def _chosen(
    times_us: NDArray[np.int64], values: NDArray[np.float32], runs: Sequence[slice], points: int = POINTS
) -> list[NDArray[np.int64]]:
    """Per gap-free run, the indices of the points to show; each run gets its share."""
    return [
        run.start + lttb(times_us[run], values[run], max(3, round(points * (run.stop - run.start) / len(times_us))))
        for run in runs
    ]


def _runs(times_us: NDArray[np.int64], rate_hz: float) -> list[slice]:
    breaks = np.flatnonzero(np.diff(times_us) > _GAP * 1e6 / rate_hz) + 1
    borders = [0, *breaks.tolist(), len(times_us)]
    return [slice(first, stop) for first, stop in pairwise(borders)]


def _with_breaks(
    context: Context, runs: Sequence[NDArray[np.int64]], column: int, start_us: int
) -> tuple[list[int], list[float | None]]:
    times: list[int] = []
    values: list[float | None] = []
    for run in runs:
        if times:
            times.append(times[-1])
            values.append(None)
        times += ((context.times_us[run] - start_us) // 1000).tolist()
        values += _rounded(context.values[run, column])
    return times, values


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(value, _DIGITS) for value in values.tolist()]


def microseconds(time: dt.datetime) -> int:
    """A time as µs since 1970."""
    return (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
