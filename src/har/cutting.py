"""Convert samples of the lake to the numpy arrays that `har.windows` cuts into windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.plausibility import SignalRule
from har.schema import Partition
from har.settings import Settings
from har.windows import WindowSet, cut

ORDER = ("date", "subject", "session", "time")
"""The order of samples before they are cut into windows."""

RECORDING = ("date", "subject", "session")
"""The columns that identify a recording."""

SEGMENT = (*RECORDING, "segment")
"""The columns that identify a segment, a gap-free run of samples."""


def signal_rule(settings: Settings) -> SignalRule:
    """The rule that says which of the project's windows have no signal."""
    sensors = settings.sensors
    return SignalRule(
        units=sensors.units,
        rate_hz=sensors.rate_hz,
        length=settings.length,
        full_scales=[sensors.full_scales[channel] for channel in sensors.channels],
    )


def matrix(frame: pl.DataFrame, channels: Sequence[str]) -> NDArray[np.float32]:
    """The channels as one C-contiguous float32 array (n, C), so that the samples of a window are contiguous."""
    result = np.empty((len(frame), len(channels)), np.float32)
    for column, channel in enumerate(channels):
        result[:, column] = frame[channel].to_numpy()
    return result


def run_ids(frame: pl.DataFrame) -> NDArray[np.int32]:
    """The number of each row's segment, int32 (n,): it increases where one of the columns of `SEGMENT` changes."""
    counters = [pl.col(name).rle_id() for name in SEGMENT if name in frame.columns]
    return frame.select(pl.sum_horizontal(counters).cast(pl.Int32)).to_series().to_numpy()


def in_runs(frame: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int32]]:
    """The samples of one subject-day sorted by session and time, and the number of each sample's segment.

    Partitions are usually sorted already; checking that is faster than sorting.
    """
    runs = run_ids(frame)
    new_run = np.diff(runs) > 0
    increasing = np.diff(frame["time"].to_physical().to_numpy()) > 0
    heads = np.flatnonzero(np.append(True, new_run)[: len(frame)])
    if (increasing | new_run).all() and frame.select("session", "segment")[heads].is_unique().all():
        return frame, runs
    frame = frame.sort("session", "time")
    return frame, run_ids(frame)


def cut_day(
    partition: Partition,
    frame: pl.DataFrame,
    settings: Settings,
    channels: Sequence[str],
    *,
    labels: Callable[[pl.DataFrame], NDArray[np.integer]] | None = None,
) -> tuple[WindowSet, pl.DataFrame]:
    """Cut a subject-day into windows.

    Args:
        partition: its date and subject.
        frame: its samples, in any order: session, segment, time and the channels.
        settings: length, stride and purity of windows.
        channels: the channels of the windows, in this order; may be empty if only starts and labels are needed.
        labels: a function from the sorted samples to the index of each sample's activity, (n,); None: unlabelled.

    Returns:
        The windows; and a table with date, subject, session and start of each.
    """
    date, subject = partition
    frame, runs = in_runs(frame)
    windows = cut(
        matrix(frame, channels),
        runs,
        length=settings.length,
        stride=settings.stride,
        labels=None if labels is None else labels(frame),
        purity=settings.windows.purity,
    )
    places = frame.select("session", pl.col("time").alias("start"))[windows.starts].select(
        pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"), "session", "start"
    )
    return windows, places
