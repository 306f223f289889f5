"""Cut gap-free segments of samples into windows, each with the label of the majority of its samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from har.errors import WindowError

UNLABELLED = -1
"""Label of a window without a majority label, or with too small a majority."""


@dataclass(frozen=True)
class WindowSet:
    """Windows as offsets into one shared array of samples; only `batch` copies samples.

    Attributes:
        samples: float32 (n, C), SI units.
        starts: int64 (N,), the first row of each window in `samples`.
        length: samples per window, T.
        labels: int16 (N,), index of the activity, -1 if unlabelled.
        segments: int32 (N,), the segment of each window.
        subjects: str (N,), the subject of each window.
        recordings: int32 (N,), the recording of each window, which can have several segments.
        dates: datetime64[D] (N,), the date of the recording; NaT if unknown.
        without_signal: number of windows that were left out because they have no signal.
    """

    samples: NDArray[np.float32]
    starts: NDArray[np.int64]
    length: int
    labels: NDArray[np.int16]
    segments: NDArray[np.int32]
    subjects: NDArray[np.str_]
    recordings: NDArray[np.int32]
    dates: NDArray[np.datetime64]
    without_signal: int = 0

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def view(self) -> NDArray[np.float32]:
        """Every possible window, (n - T + 1, T, C), as a strided view without a copy."""
        rows, channels = self.samples.shape
        # The values of a window are contiguous: with a view over the flat array, a batch copies whole blocks.
        flat = np.lib.stride_tricks.sliding_window_view(self.samples.reshape(-1), self.length * channels)[::channels]
        return flat.reshape(rows - self.length + 1, self.length, channels, copy=False)

    def batch(self, index: NDArray[np.integer] | slice = slice(None)) -> NDArray[np.float32]:
        """The chosen windows as one contiguous array, float32 (B, T, C)."""
        starts = self.starts[index]
        if not len(starts):
            return np.empty((0, self.length, self.samples.shape[1]), np.float32)
        return self.view[starts]

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """All windows in order, in batches of at most `size`, float32 (B, T, C)."""
        for first in range(0, len(self), size):
            yield self.batch(slice(first, first + size))

    def select(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> WindowSet:
        """The chosen windows, over the same samples."""
        return replace(
            self,
            starts=self.starts[index],
            labels=self.labels[index],
            segments=self.segments[index],
            subjects=self.subjects[index],
            recordings=self.recordings[index],
            dates=self.dates[index],
        )

    def for_subjects(self, subjects: tuple[str, ...]) -> WindowSet:
        """The windows of these subjects."""
        return self.select(np.isin(self.subjects, subjects))


def cut(
    samples: NDArray[np.float32],
    segments: NDArray[np.integer],
    *,
    length: int,
    stride: int,
    labels: NDArray[np.integer] | None = None,
    purity: float = 0.5,
    subjects: NDArray[np.str_] | str = "",
    recordings: NDArray[np.integer] | None = None,
    dates: NDArray[np.datetime64] | None = None,
) -> WindowSet:
    """Cut each segment into windows of `length` samples, `stride` apart; a shorter remainder is dropped.

    Args:
        samples: float32 (n, C), C-contiguous.
        segments: (n,), the segment of each sample; consecutive segments differ, and no window contains two of them.
        length: samples per window, T.
        stride: samples between two starts.
        labels: (n,), index of each sample's activity, negative if unlabelled; None: all unlabelled.
        purity: least share of the window's samples with the majority label; below it the window is unlabelled.
        subjects: (n,), or one name for all samples.
        recordings: (n,), the recording of each sample; None: every segment is a recording.
        dates: datetime64[D] (n,); None: unknown.

    Raises:
        WindowError: the arrays differ in length.
    """
    if samples.ndim != 2 or len(segments) != len(samples) or (labels is not None and len(labels) != len(samples)):
        raise WindowError(
            where="cut",
            expected="samples (n, C) with n segments and n labels",
            got=f"{samples.shape}, {segments.shape} and {None if labels is None else labels.shape}",
            remedy="Take all three from the same table.",
        )
    starts, run_of_start = _starts(segments, length, stride)
    return WindowSet(
        samples=samples,
        starts=starts,
        length=length,
        labels=_majority(labels, starts, length, purity),
        segments=run_of_start,
        subjects=np.full(len(starts), subjects) if isinstance(subjects, str) else subjects[starts],
        recordings=run_of_start if recordings is None else recordings[starts].astype(np.int32),
        dates=np.full(len(starts), "NaT", "datetime64[D]") if dates is None else dates[starts],
    )


def _runs(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """First index of each run of equal values, (R,)."""
    if not len(values):
        return np.empty(0, np.int64)
    return np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))


def _starts(segments: NDArray[np.integer], length: int, stride: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    first = _runs(segments)
    sizes = np.diff(np.append(first, len(segments)))
    counts = np.maximum(0, (sizes - length) // stride + 1)
    run = np.repeat(np.arange(len(first), dtype=np.int32), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return first[run] + within * stride, run


def _majority(
    labels: NDArray[np.integer] | None, starts: NDArray[np.int64], length: int, purity: float
) -> NDArray[np.int16]:
    if labels is None or not len(starts):
        return np.full(len(starts), UNLABELLED, np.int16)
    result = labels[starts].astype(np.int16)
    # Count only in windows that contain a change of label, which few do.
    changes = np.append(_runs(labels), len(labels))
    mixed = np.flatnonzero(changes[np.searchsorted(changes, starts, side="right")] < starts + length)
    for window in mixed:
        codes, counts = np.unique(labels[starts[window] : starts[window] + length], return_counts=True)
        majority = counts.argmax()
        result[window] = codes[majority] if counts[majority] >= purity * length else UNLABELLED
    result[result < 0] = UNLABELLED
    return result
