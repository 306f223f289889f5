"""Convert wall-clock stamps to UTC: nights on which the clock is put back or forward lose no sample and repeat none.

In: stamps without an offset and the zone in which they were written. Out: UTC, and the number of stamps for which the
zone alone does not tell, by the rule that decided.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_CONTINUOUS_US = 60_000_000
"""µs; two samples that are this close follow one another without the clock being set between them."""
_SECOND_US = 1_000_000
_WEEK_S = 7 * 86_400
_FIRST_S = int(dt.datetime(2, 1, 1, tzinfo=dt.UTC).timestamp())
_LAST_S = int(dt.datetime(9998, 12, 31, tzinfo=dt.UTC).timestamp())
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

UNDECIDED = "stamps in the hour that {zone} repeats, without evidence which, taken for the first (daylight saving) one"
NOT_PUT_BACK = "stamps of a clock that ran on when {zone} put clocks back, read with the earlier offset"
NOT_PUT_FORWARD = "stamps in and after the hour that {zone} skips, of a clock that ran on, read with the earlier offset"
SET_TWICE = "times that the clock went back within the hour that {zone} repeats, beyond the first"


@dataclass(frozen=True)
class _Change:
    """A change of a zone's offset.

    Attributes:
        at_us: when, UTC.
        before_us, after_us: the offsets, local minus UTC.
    """

    at_us: int
    before_us: int
    after_us: int

    @property
    def first_us(self) -> int:
        """The first wall-clock time that is repeated, or skipped."""
        return self.at_us + min(self.before_us, self.after_us)

    @property
    def end_us(self) -> int:
        """The first wall-clock time after those that are repeated, or skipped."""
        return self.at_us + max(self.before_us, self.after_us)

    @property
    def back_us(self) -> int:
        """How far clocks are put back; negative: forward."""
        return self.before_us - self.after_us


def local_to_utc(
    times_us: NDArray[np.int64], zone: str, *, counting: bool = False
) -> tuple[NDArray[np.int64], Counter[str]]:
    """Convert one recording's wall-clock stamps to UTC; no stamp is refused, dropped or moved relative to others.

    In the hour that is repeated when clocks are put back:

    * where the stamps go back by the better part of an hour, or by more than a minute to times that were recorded
      before, those up to there are in the first pass (daylight saving time), those after it in the second (standard
      time);
    * otherwise stamps that follow others from before the hour within a minute are in the first pass, and stamps that
      others from after the hour follow within a minute in the second. If both hold, a pause of more than a minute
      within the hour, the longest, hides the step; without such a pause the clock was not put back;
    * without any such evidence they are in the first pass, as Python reads them (PEP 495), and counted.

    Stamps in the hour that is skipped when clocks are put forward come from a clock that was not, too. A clock that was
    not put back or forward keeps its offset from there to the end, or until it is: the stamps go back by the better
    part of an hour, or forward by the hour that was due. These stamps are counted.

    Args:
        times_us: int64 (n,), µs since 1970 as a clock on the wall shows them, in the order of the recording.
        zone: IANA name, such as "Europe/Vienna".
        counting: the clock was set before the first stamp and counts on, as in devices that know no zone: the offset at
            the first stamp holds throughout.

    Returns:
        µs since 1970, UTC, int64 (n,), and the number of stamps by fault (words for reports).

    Raises:
        zoneinfo.ZoneInfoNotFoundError: there is no such zone.
    """
    if zone == "UTC" or not len(times_us):
        return times_us, Counter()
    known = ZoneInfo(zone)
    seen = times_us[:1] if counting else times_us
    first_us, last_us = int(seen.min()), int(seen.max())
    changes = _changes(known, first_us, last_us)
    met = [change for change in changes if change.first_us <= last_us and change.end_us > first_us]
    # Up to the end of the hour in question this is the earlier offset; what differs from it follows.
    utc = times_us - _offsets(known, changes, seen)
    faults: Counter[str] = Counter()
    if counting and met:
        faults[UNDECIDED if met[0].back_us > 0 else NOT_PUT_FORWARD] = len(times_us)
    settled = 0
    for change in () if counting else met:
        for first, last in _runs(times_us, change):
            if first >= settled:
                settled = _settle(times_us, utc, change, first, last, faults)
    return utc, Counter({words.format(zone=zone): count for words, count in faults.items()})


def _offsets(zone: ZoneInfo, changes: list[_Change], wall: NDArray[np.int64]) -> NDArray[np.int64] | int:
    """The offset at these times, the earlier one in the hour of a change; one number if they all have the same."""
    if not changes:
        return _offset_us(zone, int(wall[0]) // _SECOND_US)
    offsets = np.array([changes[0].before_us, *(change.after_us for change in changes)])
    places = np.searchsorted(np.array([change.end_us for change in changes]), wall, side="right")
    return np.asarray(offsets[places])


def _settle(
    wall: NDArray[np.int64], utc: NDArray[np.int64], change: _Change, first: int, last: int, faults: Counter[str]
) -> int:
    """Correct `utc` for rows `first` to `last` of the hour, and after them; the row up to which nothing is left."""
    shift = abs(change.back_us)
    before = first > 0 and 0 <= wall[first] - wall[first - 1] <= _CONTINUOUS_US
    after = last + 1 < len(wall) and 0 <= wall[last + 1] - wall[last] <= _CONTINUOUS_US
    if change.back_us < 0:
        end = _until_set(wall, last, -shift) if after else last + 1
        utc[last + 1 : end] = wall[last + 1 : end] - change.before_us
        faults[NOT_PUT_FORWARD] += end - first
        return end
    steps = np.diff(wall[first : last + 1])
    back = _set_back(wall[first : last + 1], steps, shift)
    if len(back):
        utc[first + int(back[0]) + 1 : last + 1] += shift
        if len(back) > 1:
            faults[SET_TWICE] += len(back) - 1
        return last + 1
    if before and after:
        if len(steps) and steps.max() > _CONTINUOUS_US:
            utc[first + int(np.argmax(steps)) + 1 : last + 1] += shift
            return last + 1
        end = _until_set(wall, last, shift)
        utc[last + 1 : end] = wall[last + 1 : end] - change.before_us
        faults[NOT_PUT_BACK] += end - last - 1
        return end
    if after:
        utc[first : last + 1] += shift
    elif not before:
        faults[UNDECIDED] += last + 1 - first
    return last + 1


def _set_back(wall: NDArray[np.int64], steps: NDArray[np.int64], shift: int) -> NDArray[np.intp]:
    """The rows of one hour after which the clock goes back: far, or to a time that the rows before have, too.

    Batches of rows in another order go back as well, but to times that are not there yet.
    """
    far = np.flatnonzero(steps < -shift / 2)
    near = np.flatnonzero(steps < -_CONTINUOUS_US)
    if len(far) or not len(near):
        return far
    one = int(near[0])
    later = wall[: one + 1] - wall[one + 1]
    return near[:1] if ((later >= 0) & (later <= _CONTINUOUS_US)).any() else near[:0]


def _until_set(wall: NDArray[np.int64], last: int, back_us: int) -> int:
    """The first row after `last` for which the clock was set: it goes back far, or forward by as much as was due."""
    steps = np.diff(wall[last:])
    is_set = steps < -abs(back_us) / 2
    if back_us < 0:
        is_set |= (steps >= -back_us) & (steps <= -back_us + _CONTINUOUS_US)
    rows = np.flatnonzero(is_set)
    return last + 1 + int(rows[0]) if len(rows) else len(wall)


def _runs(wall: NDArray[np.int64], change: _Change) -> list[tuple[int, int]]:
    """First and last row of each run of rows in the hour in question."""
    inside = np.flatnonzero((wall >= change.first_us) & (wall < change.end_us))
    if not len(inside):
        return []
    cuts = np.flatnonzero(np.diff(inside) > 1) + 1
    return [(int(inside[one]), int(inside[other - 1])) for one, other in pairwise([0, *cuts.tolist(), len(inside)])]


def _changes(zone: ZoneInfo, first_us: int, last_us: int) -> list[_Change]:
    """The changes of the offset between a week before these wall-clock times and a week after, in order."""
    start = min(max(first_us // _SECOND_US - _WEEK_S, _FIRST_S), _LAST_S)
    end = min(max(last_us // _SECOND_US + _WEEK_S, _FIRST_S), _LAST_S)
    found = []
    edges = [*range(start, end, _WEEK_S), end]
    offsets = [_offset_us(zone, edge) for edge in edges]
    for (left, right), (before, after) in zip(pairwise(edges), pairwise(offsets), strict=True):
        if before != after:
            found.append(_Change(_bisect(zone, left, right) * _SECOND_US, before, after))
    return found


def _bisect(zone: ZoneInfo, left: int, right: int) -> int:
    """The second at which the offset changes, between two with different offsets."""
    before = _offset_us(zone, left)
    while right - left > 1:
        middle = (left + right) // 2
        if _offset_us(zone, middle) == before:
            left = middle
        else:
            right = middle
    return right


def _offset_us(zone: ZoneInfo, second: int) -> int:
    moment = (_EPOCH + dt.timedelta(seconds=min(max(second, _FIRST_S), _LAST_S))).astimezone(zone)
    offset = moment.utcoffset()
    assert offset is not None  # noqa: S101  a zone always knows
    return offset // dt.timedelta(microseconds=1)
