"""Whether stamps can be those of a recording: their rate, and the years that they lie in."""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

FASTEST_HZ = 5000.0
"""No sensor worn by a person is sampled faster."""
FIRST_YEAR = 2000
"""Earlier dates come from a clock that was not set."""
UPTIME_YEARS = 20
"""Stamps within so many years of zero count from when a device was switched on, or a recording was started."""
_LONG = 10.0
FIRST_US = int(dt.datetime(FIRST_YEAR, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000
_UPTIME_US = UPTIME_YEARS * 365 * 86_400_000_000
_AHEAD = dt.timedelta(days=2)
"""Every time zone, and a clock that is a little fast."""


def rate_hz(times_us: NDArray[np.int64]) -> float:
    """Rows per second, pauses left out; 0 if there is one stamp only.

    Of stamps that several rows share, the rows count, so that whole seconds and packets have the rate of their samples.
    """
    stamps = distinct(times_us)
    if len(stamps) < 2:
        return 0.0
    intervals = np.diff(stamps)
    running = intervals <= _LONG * np.median(intervals)
    return float(len(times_us) / len(stamps) * running.sum() / intervals[running].sum() * 1e6)


def distinct(times_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The different stamps, sorted; much faster than `np.unique` where they are in order, as they usually are."""
    steps = np.diff(times_us)
    if (steps > 0).all():
        return times_us
    ordered = times_us if (steps >= 0).all() else np.sort(times_us)
    different: NDArray[np.int64] = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return different


def is_count(times_us: NDArray[np.int64]) -> bool:
    """Whether the stamps count from an unknown start: they lie near zero."""
    return bool(len(times_us)) and bool(times_us.max() < _UPTIME_US and times_us.min() > -_UPTIME_US)


def wrong_rate(times_us: NDArray[np.int64], slowest_hz: float) -> str:
    """What is implausible about the rate, in a few words; nothing if it is plausible."""
    rate = rate_hz(times_us)
    if len(times_us) < 3 or rate == 0 or slowest_hz <= rate <= FASTEST_HZ:
        return ""
    span = float(times_us.max() - times_us.min()) / 1e6
    return f"{len(times_us):,} samples in {_duration(span)}, {_rate(rate)}"


def wrong_date(times_us: NDArray[np.int64]) -> str:
    """What is implausible about the dates, in a few words; nothing if they are plausible."""
    first, last = int(times_us.min()), int(times_us.max())
    ahead = int((dt.datetime.now(dt.UTC) + _AHEAD).timestamp() * 1e6)
    if first < FIRST_US:
        return f"stamps of {day(first)}"
    return f"stamps of {day(last)}, in the future" if last > ahead else ""


def day(time_us: int) -> str:
    """The date of a stamp in UTC, as messages show it."""
    try:
        return (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=time_us)).date().isoformat()
    except OverflowError:
        return f"the year {1970 + time_us // 31_556_952_000_000:,}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f} Hz" if rate >= 10 else f"{rate:.3g} Hz"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:,.0f} s" if seconds < 1e6 else f"{seconds / 86400:,.0f} days"
