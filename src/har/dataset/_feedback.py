"""Look up the true activity of a subject at any time in the lake's feedback."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.lake import Lake

_Timeline = tuple[NDArray[np.int64], NDArray[np.int16]]
"""Times at which the label changes, in µs since 1970, and the label from each until the next."""


class Feedback:
    """The table `labels` at one version, as a function of subject and time.

    An interval includes its start and excludes its end; it applies to all sessions of the subject. Where intervals
    overlap, the last received one applies. Feedback whose request has not arrived yet has no interval and is ignored.

    Args:
        lake: the lake.
        names: the project's activities, in the model's order.
        version: of the table; None: the newest, -1: no feedback.
        subjects: only their feedback; None: all feedback.

    Attributes:
        intervals: number of rows used.
        unknown: number of rows left out by activity, for activities that the project does not have.
        rows: date, subject, start, end and activity of the rows used, in the order in which they were received.
    """

    def __init__(
        self, lake: Lake, names: Sequence[str], version: int | None = None, subjects: Collection[str] | None = None
    ) -> None:
        table = lake.labels.scan(version).filter(pl.col("start").is_not_null() & pl.col("end").is_not_null())
        if subjects is not None:
            table = table.filter(pl.col("subject").is_in(list(subjects)))
        columns = ["date", "subject", "start", "end", "activity", "received_at", "feedback_id"]
        rows = lake.labels.collect(table.select(columns), version)
        known = pl.col("activity").is_in(list(names))
        self.unknown = dict(sorted(rows.filter(~known)["activity"].value_counts().iter_rows()))
        # Sorted by id as well, so that the order of rows received in the same microsecond is reproducible.
        rows = rows.filter(known & (pl.col("start") < pl.col("end"))).sort("received_at", "feedback_id")
        self.rows = rows.drop("received_at", "feedback_id")
        self.intervals = len(rows)
        self._timelines: dict[str, _Timeline] = {
            subject: _timeline(
                group["start"].to_physical().to_numpy(),
                group["end"].to_physical().to_numpy(),
                group["activity"].replace_strict(names, range(len(names)), return_dtype=pl.Int16).to_numpy(),
            )
            for (subject,), group in rows.group_by("subject", maintain_order=True)
        }

    def over(self, subjects: pl.Series, times: pl.Series, labels: NDArray[np.int16]) -> NDArray[np.int16]:
        """Labels of samples, replaced by feedback where there is any.

        Args:
            subjects: (n,).
            times: (n,), in any order.
            labels: (n,), the labels without feedback.

        Returns:
            int16 (n,); `labels` itself if there is no feedback on these subjects.
        """
        names = list(self._timelines)
        codes = subjects.replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int32).to_numpy()
        candidates = np.flatnonzero(codes >= 0)
        if not len(candidates):
            return labels
        candidates = candidates[np.argsort(codes[candidates], kind="stable")]
        borders = np.searchsorted(codes[candidates], np.arange(len(names) + 1))
        times_us = times.to_physical().to_numpy()
        result = labels.copy()
        for code, (changes, feedback) in enumerate(self._timelines.values()):
            rows = candidates[borders[code] : borders[code + 1]]
            position = np.searchsorted(changes, times_us[rows], side="right") - 1
            corrected = np.where(position < 0, np.int16(-1), feedback[position])
            result[rows] = np.where(corrected < 0, labels[rows], corrected)
        return result


def _timeline(starts: NDArray[np.int64], ends: NDArray[np.int64], labels: NDArray[np.int16]) -> _Timeline:
    """Merge intervals; where they overlap, the last one applies."""
    changes = np.unique(np.concatenate((starts, ends)))
    last = _last_cover(np.searchsorted(changes, starts), np.searchsorted(changes, ends), len(changes))
    return changes, np.where(last < 0, np.int16(-1), labels[last])


def _last_cover(first: NDArray[np.integer], stop: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """The index of the last interval that covers each position, int64 (count,), -1 for none.

    A sparse table, filled without a loop over intervals: every interval is the union of two blocks of the same
    power-of-two size, whose index is stored at their first position; each level then passes the largest index on to
    the two halves of its blocks.
    """
    size = np.floor(np.log2(stop - first)).astype(np.int64)
    numbers = np.arange(len(first))
    block: NDArray[np.int64] = np.full((int(size.max()) + 1, count), -1)
    np.maximum.at(block, (size, first), numbers)
    np.maximum.at(block, (size, stop - (1 << size)), numbers)
    for level in range(len(block) - 1, 0, -1):
        half = 1 << (level - 1)
        np.maximum(block[level - 1], block[level], out=block[level - 1])
        np.maximum(block[level - 1][half:], block[level][:-half], out=block[level - 1][half:])
    last: NDArray[np.int64] = block[0]
    return last
