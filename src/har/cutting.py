"""Samples of a table as arrays that `har.windows` cuts: the bridge between the lake's frames and numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.lake import Partition
from har.settings import Settings
from har.windows import WindowSet, cut

ORDER = ("date", "subject", "session", "time")
"""How samples are sorted before they are cut."""

RECORDING = ("date", "subject", "session")
"""What names a recording."""

SEGMENT = (*RECORDING, "segment")
"""What names a gap-free run of samples."""


def matrix(frame: pl.DataFrame, channels: Sequence[str]) -> NDArray[np.float32]:
    """The channels as one C-contiguous float32 array (n, C): a window's samples then lie side by side."""
    result = np.empty((len(frame), len(channels)), np.float32)
    for column, channel in enumerate(channels):
        result[:, column] = frame[channel].to_numpy()
    return result


def run_ids(frame: pl.DataFrame) -> NDArray[np.int32]:
    """A number per row that grows wherever date, subject, session or segment changes (those there are), int32 (n,)."""
    counters = [pl.col(name).rle_id() for name in SEGMENT if name in frame.columns]
    return frame.select(pl.sum_horizontal(counters).cast(pl.Int32)).to_series().to_numpy()


def in_runs(frame: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int32]]:
    """The samples with every segment in one piece and in order of time, and the number of each sample's segment.

    The table hands them over so as a rule: a look at where segments begin mostly replaces the sort.
    """
    runs = run_ids(frame)
    changed = np.diff(runs) > 0
    forward = np.diff(frame["time"].to_physical().to_numpy()) > 0
    heads = np.flatnonzero(np.append(True, changed)[: len(frame)])
    if (forward | changed).all() and frame.select("session", "segment")[heads].is_unique().all():
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
    """The windows of a subject-day, and where each stands.

    Args:
        partition: its date and subject.
        frame: its samples, in any order: session, segment, time and the channels.
        settings: length, stride and purity of windows.
        channels: to be read, in this order; none: places and labels alone.
        labels: gives the index of each sample's activity, (n,), from the samples in order; None: unlabelled.

    Returns:
        The windows; and date, subject, session and start of each, one row per window.
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
    places = frame.select(
        pl.lit(date, pl.Date).alias("date"),
        pl.lit(subject).alias("subject"),
        "session",
        pl.col("time").alias("start"),
    )
    return windows, places[windows.starts]
