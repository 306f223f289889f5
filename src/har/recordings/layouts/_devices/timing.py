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
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2}):?(\d{2})?(?::?\d{2})?")
_LARGEST = dt.timedelta(hours=15)


def spread_blocks(stamps_us: NDArray[np.int64], rate_hz: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place the samples of each block between its stamp and the next one.

    Decoders give the samples of a block the nominal interval. A device that is a percent slower (98.8 Hz where 100 Hz
    are stated) then seems to pause between blocks. The samples of a block are instead spread evenly up to the next
    stamp, as long as that changes the interval by less than 10 %; wider than that is a pause.

    Args:
        stamps_us: int64 (n,), µs, as decoded.
        rate_hz: the nominal rate.

    Returns:
        The times, int64 (n,) µs, and the lengths of the pauses, int64 (p,) µs.
    """
    count = len(stamps_us)
    step = 1e6 / rate_hz
    if count < 2:
        return stamps_us, np.empty(0, np.int64)
    first = np.append(0, np.flatnonzero(np.abs(np.diff(stamps_us) - step) > 1) + 1)
    if len(first) == 1:
        return stamps_us, np.empty(0, np.int64)
    sizes = np.diff(np.append(first, count))
    starts = stamps_us[first].astype(np.float64)
    rooms = np.diff(starts)
    steps = np.append(rooms / sizes[:-1], step)
    steady = np.abs(steps - step) * sizes <= _NEAR * step * np.minimum(sizes, _BLOCK)
    steady[-1] = False
    usual = float(np.median(steps[steady])) if steady.any() else step
    steps[~steady] = usual
    pauses = rooms - sizes[:-1] * steps[:-1]
    times = np.repeat(starts - first * steps, sizes) + np.arange(count) * np.repeat(steps, sizes)
    return np.rint(times, out=times).astype(np.int64), pauses[~steady[:-1] & (pauses > 0)].astype(np.int64)


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
    return None if east > _LARGEST else (east if match[1] == "+" else -east)


def show_offset(offset: int) -> str:
    """`UTC+02:00` for -7,200,000,000."""
    east = -offset // 60_000_000
    return f"UTC{'-' if east < 0 else '+'}{abs(east) // 60:02d}:{abs(east) % 60:02d}"
