"""Samples of the lake in, labelled windows out: the one bridge between the tables and `har.windows`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import NotEnoughDataError
from har.lake import Lake
from har.settings import Settings
from har.windows import WindowSet, cut

ORDER = ("date", "subject", "session", "time")
"""How samples are sorted before they are cut."""

SEGMENT = ("date", "subject", "session", "segment")
"""What names a gap-free run of samples."""


def load_windows(lake: Lake, settings: Settings, *, version: int | None = None) -> WindowSet:
    """Every window of the lake at one version of `samples`, with its activity's index (-1: none) and its subject.

    Raises:
        NotEnoughDataError: the lake holds no samples.
    """
    frame = (
        lake.samples.scan(version)
        .select("date", "subject", "session", "segment", "time", "activity", *lake.channels)
        .sort(ORDER)
        .collect()
    )
    if frame.is_empty():
        raise NotEnoughDataError(
            where=str(lake.samples.path),
            expected="ingested samples",
            got="an empty table",
            remedy="Put files into the inbox and run `har ingest`, or try `har replay` first.",
        )
    names = settings.activities.all
    labels = frame["activity"].replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int16)
    return cut(
        matrix(frame, lake.channels),
        run_ids(frame),
        length=settings.length,
        stride=settings.stride,
        labels=labels.fill_null(-1).to_numpy(),
        purity=settings.windows.purity,
        subjects=frame["subject"].to_numpy().astype(str),
    )


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
