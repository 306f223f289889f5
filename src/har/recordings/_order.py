"""Drop rows that a file holds twice, and sort the others by time; no time is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from har.errors import RecordingTimeError
from har.recordings._stamps import iso
from har.recordings._table import Parsed

MOST_REPEATED = 0.5
"""A file may hold every row twice (uploaded again); with more repetitions than that it is refused."""


@dataclass(frozen=True)
class Order:
    """The rows of a file that are kept, in time order, and why the others are dropped.

    Attributes:
        rows: int64 (n,), the kept rows of the file; rows of one stamp are in the order of the file.
        duplicates: dropped rows; an earlier row has the same stamp, content and place among the rows of that stamp.
        reordered: kept rows that come after a later sample in the file.
    """

    rows: NDArray[np.int64]
    duplicates: int
    reordered: int


def order_rows(
    parsed: Parsed,
    times: NDArray[np.int64],
    values: NDArray[np.float32],
    labels: NDArray[np.int16],
    max_gap_s: float,
) -> Order:
    """Drop blocks of rows that the file holds twice, and sort the others by time.

    Rows may be out of order by `max_gap_s`, by an interval of the stamps where that is longer, or in blocks that fit
    without overlap and without a gap on one side at least: devices upload in batches.

    Raises:
        RecordingTimeError: time runs back otherwise, or more than `MOST_REPEATED` of the rows are repetitions.
    """
    count = len(times)
    if (np.diff(times) >= 0).all():  # no stamp occurs in two blocks
        return Order(np.arange(count), 0, 0)
    repeated = _repeated(times, values, labels)
    if repeated.sum() > MOST_REPEATED * count:
        row = int(np.argmax(repeated))
        raise RecordingTimeError(
            where=parsed.at(row),
            expected=f"at most {MOST_REPEATED:.0%} of the rows twice",
            got=f"{int(repeated.sum()):,} of {count:,} rows that repeat stamp and values of an earlier row",
            remedy="The file was joined from copies of one recording: keep one copy of each row.",
            line=parsed.line(row),
        )
    rest = np.flatnonzero(~repeated)
    stamps = times[rest]
    late = np.maximum.accumulate(stamps) - stamps
    slack = _slack(stamps, max_gap_s)
    if (late > slack).any() and not (np.diff(stamps) <= 0).all():  # the newest first is an order, too
        _check_blocks(parsed, times, rest, slack)
    return Order(rest[np.argsort(stamps, kind="stable")], int(repeated.sum()), int((late > 0).sum()))


def _repeated(times: NDArray[np.int64], values: NDArray[np.float32], labels: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Rows that an earlier block of the file holds too, bool (n,).

    Rows of one stamp that follow each other may be a packet, in which equal samples are samples: a row repeats only the
    row at the same place of an earlier block with that stamp.
    """
    count = len(times)
    begins = np.flatnonzero(np.diff(times, prepend=times[0] - 1) != 0)
    sizes = np.diff(np.append(begins, count))
    place = np.arange(count) - np.repeat(begins, sizes)
    order = np.lexsort((place, times))  # stable: equal rows stay in the order of the file
    is_first = (np.diff(times[order], prepend=times[order[0]] - 1) != 0) | (np.diff(place[order], prepend=-1) != 0)
    first = order[np.maximum.accumulate(np.where(is_first, np.arange(count), 0))]
    again = np.flatnonzero(~is_first)
    rows, originals = order[again], first[again]
    same = (values[:, rows] == values[:, originals]).all(axis=0) & (labels[rows] == labels[originals])
    repeated = np.zeros(count, np.bool_)
    repeated[rows[same]] = True
    return repeated


def _slack(stamps: NDArray[np.int64], max_gap_s: float) -> float:
    """How far rows may be out of order, and how far apart blocks may be to count as joined, in µs."""
    intervals = np.diff(np.unique(stamps))
    usual = float(np.median(intervals)) if len(intervals) else 0.0
    return max(max_gap_s * 1e6, 1.5 * usual)


def _check_blocks(parsed: Parsed, times: NDArray[np.int64], rest: NDArray[np.int64], slack: float) -> None:
    """Refuse a block that comes late, unless it fits between the other blocks."""
    stamps = times[rest]
    begins = np.flatnonzero(np.abs(np.diff(stamps, prepend=stamps[0])) > slack)
    begins = np.unique(np.append(0, begins))
    low, high = np.minimum.reduceat(stamps, begins), np.maximum.reduceat(stamps, begins)
    sizes = np.diff(np.append(begins, len(stamps)))
    for first, size in zip(begins[sizes > 1], sizes[sizes > 1], strict=True):
        part = stamps[first : first + size]
        late = np.maximum.accumulate(part) - part
        if (late > slack).any():  # within a block, time may run back by the slack only
            _refuse_time_back(parsed, times, rest, int(first + np.argmax(late > slack)), overlap=True)

    before = np.maximum.accumulate(np.append(stamps.min(), high[:-1]))
    by_time = np.argsort(low, kind="stable")
    gaps = low[by_time][1:] - np.maximum.accumulate(high[by_time])[:-1]
    to_previous = np.append(np.inf, gaps)[np.argsort(by_time)]
    to_next = np.append(gaps, np.inf)[np.argsort(by_time)]
    overlap = np.minimum(to_previous, to_next) < -slack
    lonely = np.minimum(to_previous, to_next) > slack
    wrong = (low < before - slack) & (overlap | lonely)
    if wrong.any():
        block = int(np.argmax(wrong))
        _refuse_time_back(parsed, times, rest, int(begins[block]), overlap=bool(overlap[block]))


def _refuse_time_back(
    parsed: Parsed, times: NDArray[np.int64], rest: NDArray[np.int64], position: int, *, overlap: bool
) -> NoReturn:
    row = int(rest[position])
    before = int(rest[np.argmax(times[rest[:position]])])
    split = "If the clock was set or two recordings were joined, split the file here into two sessions"
    batch = "" if overlap else "; if the rows from here on are a batch that arrived late, sort the file by time"
    raise RecordingTimeError(
        where=parsed.at(row),
        expected=f"a stamp after {iso(times[before])} ({parsed.row_word} {parsed.line(before)}), or shortly before it",
        got=f"{iso(times[row])}: time runs back by {(times[before] - times[row]) / 1e6:g} s",
        remedy=f"{split}{batch}.",
        line=parsed.line(row),
    )
