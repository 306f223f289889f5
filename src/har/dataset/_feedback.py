"""Look up the true activity of a subject at any time in the lake's labels: those of a person, and feedback."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.lake import Lake, Partition
from har.schema import ACCEPTED, IMPORTED, IMPORTED_ID, REJECTED

_Timeline = tuple[NDArray[np.int64], NDArray[np.int16]]
"""Times at which the label changes, in µs since 1970, and the label from each until the next."""

_COLUMNS = ("date", "subject", "start", "end", "activity", "received_at", "feedback_id", "review")


def has_a_persons_word() -> pl.Expr:
    """Rows of the table `labels` that a person imported or accepted."""
    earlier = pl.col("review").is_null() & pl.col("feedback_id").str.starts_with(IMPORTED_ID)
    return pl.col("review").is_in([IMPORTED, ACCEPTED]).fill_null(False) | earlier


def is_unreviewed() -> pl.Expr:
    """Rows of the table `labels` that are feedback which nobody has accepted or rejected."""
    return ~has_a_persons_word() & pl.col("review").ne_missing(REJECTED)


class Timelines:
    """Labels as a function of subject and time; where intervals overlap, the last row applies.

    An interval includes its start and excludes its end; it applies to all sessions of the subject.

    Args:
        rows: subject, start, end and activity, each activity one of the names; start before end.
        names: the project's activities, in the model's order.
    """

    def __init__(self, rows: pl.DataFrame, names: Sequence[str]) -> None:
        self._timelines: dict[str, _Timeline] = {
            subject: _timeline(
                group["start"].to_physical().to_numpy(),
                group["end"].to_physical().to_numpy(),
                group["activity"].replace_strict(names, range(len(names)), return_dtype=pl.Int16).to_numpy(),
            )
            for (subject,), group in rows.group_by("subject", maintain_order=True)
        }

    def at(self, subjects: pl.Series, times: pl.Series) -> NDArray[np.int16] | None:
        """The label at each time, -1 where there is none, int16 (n,); None if none of the subjects has any.

        Args:
            subjects: (n,).
            times: (n,), in any order.
        """
        names = list(self._timelines)
        codes = subjects.replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int32).to_numpy()
        candidates = np.flatnonzero(codes >= 0)
        if not len(candidates):
            return None
        candidates = candidates[np.argsort(codes[candidates], kind="stable")]
        borders = np.searchsorted(codes[candidates], np.arange(len(names) + 1))
        times_us = times.to_physical().to_numpy()
        result = np.full(len(times_us), -1, np.int16)
        for code, (changes, labels) in enumerate(self._timelines.values()):
            rows = candidates[borders[code] : borders[code + 1]]
            position = np.searchsorted(changes, times_us[rows], side="right") - 1
            result[rows] = np.where(position < 0, np.int16(-1), labels[position])
        return result


class Feedback:
    """The table `labels` at one version, as a function of subject and time.

    What a person imported or accepted replaces the labels of files. Feedback that nobody has reviewed never does: it
    counts for the subjects that are named, and only where nothing else says what the activity was. Rejected rows do not
    count, nor does feedback without an interval.

    Args:
        lake: the lake.
        names: the project's activities, in the model's order.
        version: of the table; None: the newest, -1: no labels.
        subjects: only their labels; None: everybody's.
        unreviewed_of: subjects whose unreviewed feedback counts; None: everybody's.
        days: only labels of recordings of these dates, and some others; None: all.

    Attributes:
        intervals: number of rows used.
        unknown: number of rows left out by activity, for activities that the project does not have.
        rows: date, subject, start, end and activity of the rows used, in the order in which they were received.
    """

    def __init__(
        self,
        lake: Lake,
        names: Sequence[str],
        version: int | None = None,
        subjects: Collection[str] | None = None,
        *,
        unreviewed_of: Collection[str] | None = (),
        days: Collection[dt.date] | None = None,
    ) -> None:
        everybody = pl.lit(True)
        counts = everybody if unreviewed_of is None else pl.col("subject").is_in(list(unreviewed_of))
        table = (
            lake.labels.scan(version, None if days is None else _about(lake, version, days))
            .filter(pl.col("start") < pl.col("end"))
            .filter(everybody if subjects is None else pl.col("subject").is_in(list(subjects)))
            .filter(pl.col("subject").is_not_null())
            .filter(has_a_persons_word() | (is_unreviewed() & counts))
        )
        rows = lake.labels.collect(table.select(_COLUMNS), version)
        known = pl.col("activity").is_in(list(names))
        self.unknown = dict(sorted(rows.filter(~known)["activity"].value_counts().iter_rows()))
        # Sorted by id as well, so that the order of rows received in the same microsecond is reproducible.
        rows = rows.filter(known).sort("received_at", "feedback_id")
        self.rows = rows.select("date", "subject", "start", "end", "activity")
        self.intervals = len(rows)
        self._of_persons = Timelines(rows.filter(has_a_persons_word()), names)
        self._unreviewed = Timelines(rows.filter(is_unreviewed()), names)

    def over(self, subjects: pl.Series, times: pl.Series, labels: NDArray[np.int16]) -> NDArray[np.int16]:
        """Labels of samples, replaced by a person's where there are any, and completed by feedback.

        Args:
            subjects: (n,).
            times: (n,), in any order.
            labels: (n,), the labels of the files, -1 where there are none.

        Returns:
            int16 (n,); `labels` itself if nothing is known about these subjects.
        """
        unreviewed = self._unreviewed.at(subjects, times)
        if unreviewed is not None:
            labels = np.where(labels < 0, unreviewed, labels)
        of_persons = self._of_persons.at(subjects, times)
        if of_persons is not None:
            labels = np.where(of_persons < 0, labels, of_persons)
        return labels


def _about(lake: Lake, version: int | None, days: Collection[dt.date]) -> list[Partition]:
    """Partitions of labels that may say something of recordings of some dates, by the statistics in the log.

    A recording's date is local, a label's is UTC.
    """
    if not days:
        return []
    day = dt.timedelta(days=1)
    first = dt.datetime.combine(min(days) - day, dt.time(), dt.UTC)
    last = dt.datetime.combine(max(days) + 2 * day, dt.time(), dt.UTC)
    begun = set(lake.labels.partitions_within("start", None, last, version=version))
    dated = lake.labels.partitions_within("date", min(days) - day, max(days) + day, version=version)
    return sorted({*dated, *begun.intersection(lake.labels.partitions_within("end", first, None, version=version))})


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
