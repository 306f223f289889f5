"""Feedback of the lake in, the activity of any moment of any subject out: what people said was done when."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.lake import Lake

_Track = tuple[NDArray[np.int64], NDArray[np.int16]]
"""Moments at which what holds changes, in microseconds since 1970, and what holds from each until the next."""


class Feedback:
    """The table `labels` at one version, as a function of subject and time.

    An interval holds from its start to just before its end, in every session that the subject has then. Where
    intervals overlap, the one received last holds. Feedback whose request is not known yet has no interval and says
    nothing yet.

    Args:
        lake: whose labels.
        names: the project's activities, in the model's order.
        version: of the table; None: the newest, -1: no feedback at all.
        subjects: whose feedback; None: everybody's.

    Attributes:
        intervals: how many rows count.
        unknown: rows left out because the project does not know their activity, by that activity.
        rows: date, subject, start, end and activity of those that count, in the order in which they were received.
    """

    def __init__(
        self, lake: Lake, names: Sequence[str], version: int | None = None, subjects: Collection[str] | None = None
    ) -> None:
        table = lake.labels.scan(version).filter(pl.col("start").is_not_null() & pl.col("end").is_not_null())
        if subjects is not None:
            table = table.filter(pl.col("subject").is_in(list(subjects)))
        told = table.select("date", "subject", "start", "end", "activity", "received_at", "feedback_id").collect()
        known = pl.col("activity").is_in(list(names))
        self.unknown = dict(sorted(told.filter(~known)["activity"].value_counts().iter_rows()))
        # Two may be received in one microsecond: the name settles it, in every run alike.
        told = told.filter(known & (pl.col("start") < pl.col("end"))).sort("received_at", "feedback_id")
        self.rows = told.drop("received_at", "feedback_id")
        self.intervals = len(told)
        self._tracks: dict[str, _Track] = {
            subject: _track(
                own["start"].to_physical().to_numpy(),
                own["end"].to_physical().to_numpy(),
                own["activity"].replace_strict(names, range(len(names)), return_dtype=pl.Int16).to_numpy(),
            )
            for (subject,), own in told.group_by("subject", maintain_order=True)
        }

    def over(self, subjects: pl.Series, times: pl.Series, own: NDArray[np.int16]) -> NDArray[np.int16]:
        """Labels with feedback laid over them.

        Args:
            subjects: (n,).
            times: (n,), in any order.
            own: (n,), the label that holds where there is no feedback.

        Returns:
            int16 (n,); `own` itself if nothing is laid over.
        """
        names = list(self._tracks)
        codes = subjects.replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int32).to_numpy()
        told = np.flatnonzero(codes >= 0)
        if not len(told):
            return own
        told = told[np.argsort(codes[told], kind="stable")]
        borders = np.searchsorted(codes[told], np.arange(len(names) + 1))
        moments = times.to_physical().to_numpy()
        result = own.copy()
        for code, (changes, holds) in enumerate(self._tracks.values()):
            rows = told[borders[code] : borders[code + 1]]
            place = np.searchsorted(changes, moments[rows], side="right") - 1
            given = np.where(place < 0, np.int16(-1), holds[place])
            result[rows] = np.where(given < 0, own[rows], given)
        return result


def _track(starts: NDArray[np.int64], ends: NDArray[np.int64], labels: NDArray[np.int16]) -> _Track:
    """Lay intervals over each other, each over those before it."""
    changes = np.unique(np.concatenate((starts, ends)))
    winner = _last_over(np.searchsorted(changes, starts), np.searchsorted(changes, ends), len(changes))
    return changes, np.where(winner < 0, np.int16(-1), labels[winner])


def _last_over(first: NDArray[np.integer], stop: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Per place the number of the last interval that covers it, int64 (count,), -1 for none.

    An interval is the union of two blocks whose size is one power of two. Each is noted at its first place, and a
    block hands its number down to its two halves: no loop over intervals, however they overlap.
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
