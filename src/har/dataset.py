"""Samples of the lake in, labelled windows out: the one bridge between the tables and `har.windows`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import NotEnoughDataError
from har.feedback import Feedback
from har.lake import Lake
from har.settings import Settings
from har.windows import WindowSet, cut

ORDER = ("date", "subject", "session", "time")
"""How samples are sorted before they are cut."""

RECORDING = ("date", "subject", "session")
"""What names a recording."""

SEGMENT = (*RECORDING, "segment")
"""What names a gap-free run of samples."""


def load_windows(
    lake: Lake, settings: Settings, *, version: int | None = None, labels_version: int | None = None
) -> WindowSet:
    """Every window of the lake at one version, with its activity's index (-1: none), subject, recording and date.

    A sample's activity is what feedback says, and what the file said where there is no feedback.

    Args:
        lake: the tables.
        settings: how windows are cut, and the activities.
        version: of `samples`; None: the newest.
        labels_version: of `labels`; None: the newest, -1: no feedback.

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
    return cut(
        matrix(frame, lake.channels),
        run_ids(frame),
        length=settings.length,
        stride=settings.stride,
        labels=_labels(frame, settings, Feedback(lake, settings.activities.all, labels_version)),
        purity=settings.windows.purity,
        subjects=frame["subject"].to_numpy().astype(str),
        recordings=run_ids(frame.select(RECORDING)),
        dates=frame["date"].to_numpy().astype("datetime64[D]"),
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


def _labels(frame: pl.DataFrame, settings: Settings, feedback: Feedback) -> NDArray[np.int16]:
    """The activity's index of each sample, -1 where there is none, int16 (n,)."""
    names = settings.activities.all
    own = frame["activity"].replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int16)
    return feedback.over(frame["subject"], frame["time"], own.fill_null(-1).to_numpy())
