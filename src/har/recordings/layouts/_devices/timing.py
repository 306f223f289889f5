"""Turn the stamps of a device's blocks into times of samples in UTC.

These devices stamp blocks of samples (a second, 300 samples, 40 to 120 samples) by a clock that shows local time. It is
set once, when the device is configured, and runs on: nobody switches it to summer time in the middle of a recording. So
one offset from UTC holds for a whole file, and a night with two two-o'clocks is like any other.
"""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from har.recordings.layouts._option import option_error

_NEAR = 0.1  # a block whose samples are this much closer or wider than stated has the device's true rate
_BLOCK = 120  # … of so many samples at most: blocks that follow each other exactly are taken for one
_LONGEST = 300  # samples of a block
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2}):?(\d{2})?(?::?\d{2})?")
_FURTHEST = dt.timedelta(hours=15)


class BlockTimes:
    """Places the samples of each block between its stamp and the next one, piece by piece of a file.

    Decoders give the samples of a block the nominal interval. A device that is a percent slower (98.8 Hz where 100 Hz
    are stated) then seems to pause between blocks. The samples of a block are instead spread evenly up to the next
    stamp, as long as that changes their duration by less than 10 %; with more room, or less, the block has the interval
    of the one before, and what is left is a pause. The result does not depend on the pieces.

    Args:
        rate_hz: the nominal rate.
        blocks: False: each sample has its own stamp, which is kept.
    """

    def __init__(self, rate_hz: float, *, blocks: bool = True) -> None:
        self._step = self._usual = 1e6 / rate_hz
        self._blocks = blocks
        self._tail = np.empty(0, np.int64)
        self._pauses: list[NDArray[np.int64]] = []

    def add(self, stamps_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The times that the stamps so far tell, int64 (m,) µs: all but those of the last block."""
        stamps = np.concatenate([self._tail, stamps_us])
        if not self._blocks:
            self._tail = stamps[-1:]
            self._pauses.append(np.diff(stamps))
            return stamps[:-1]
        first = np.append(0, np.flatnonzero(np.abs(np.diff(stamps) - self._step) > 1) + 1)
        sizes = np.diff(np.append(first, len(stamps)))
        long = sizes > _LONGEST
        first = np.sort(np.append(first, (first + sizes - _LONGEST)[long]))
        self._tail = stamps[first[-1] :]
        return self._spread(stamps[first].astype(np.float64), first)

    def end(self) -> NDArray[np.int64]:
        """The times of the last block."""
        tail, self._tail = self._tail, np.empty(0, np.int64)
        if not self._blocks or not len(tail):
            return tail
        return np.asarray(np.rint(tail[0] + np.arange(len(tail)) * self._usual), np.int64)

    def pauses(self, longest_us: float) -> NDArray[np.int64]:
        """The pauses longer than this since the last call, int64 (p,) µs."""
        found = np.concatenate([*self._pauses, np.empty(0, np.int64)])
        self._pauses.clear()
        return found[found > longest_us]

    def _spread(self, starts: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.int64]:
        rooms, sizes = np.diff(starts), np.diff(first)
        steps = rooms / sizes
        steady = np.abs(rooms - sizes * self._step) <= _NEAR * self._step * np.minimum(sizes, _BLOCK)
        known = np.maximum.accumulate(np.where(steady, np.arange(len(steps)), -1))
        before = np.where(known >= 0, steps[known], self._usual) if len(steps) else steps
        steps = np.where(steady, steps, before)
        self._pauses.append((rooms - sizes * steps)[~steady].astype(np.int64))
        if steady.any():
            self._usual = float(steps[steady][-1])
        times = np.repeat(starts[:-1] - first[:-1] * steps, sizes)
        times += np.arange(len(times)) * np.repeat(steps, sizes)
        return np.asarray(np.rint(times, out=times), np.int64)


def offset_us(first_local_us: int, given: str, stated: str, zone: str) -> int:
    """What to add to the device's clock to get UTC, in µs: one value for the whole file.

    Args:
        first_local_us: the device's clock at the first sample, in µs since 1970.
        given: the option `timezone`: an IANA name or an offset such as +02:00; "": not given.
        stated: the offset that the file states; "" if it states none.
        zone: the project's time zone, used where neither is given; of an hour that occurs twice, the first.

    Raises:
        SettingsError: `given` is no time zone.
    """
    for text in (given, stated):
        east = parse_offset(text)
        if east is not None:
            return -round(east.total_seconds() * 1e6)
    try:
        place = ZoneInfo(given or zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        expected = "an IANA name such as Europe/Berlin, or an offset such as +02:00"
        raise option_error("timezone", expected, given) from error
    local = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=first_local_us)
    east = local.replace(tzinfo=place).utcoffset()
    return -round((east or dt.timedelta()).total_seconds() * 1e6)


def parse_offset(text: str) -> dt.timedelta | None:
    """An offset from UTC, east positive: `-05:00:00`, `GMT +01:00`, `UTC`; None if the text is none."""
    if text.strip().upper() in ("UTC", "GMT", "Z"):
        return dt.timedelta()
    match = _OFFSET.fullmatch(text.strip())
    if match is None:
        return None
    east = dt.timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return None if east > _FURTHEST else (east if match[1] == "+" else -east)


def show_offset(offset: int) -> str:
    """`UTC+02:00` for -7,200,000,000."""
    east = -offset // 60_000_000
    return f"UTC{'-' if east < 0 else '+'}{abs(east) // 60:02d}:{abs(east) % 60:02d}"
