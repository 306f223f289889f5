"""Recordings replayed as if they were measured now: other times, other sessions, several subjects at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from har.log_lines import DAY_US
from har.streaming.client._message import Form, Made, Stretch


def to_the_present(
    stretches: Iterable[Stretch],
    form: Form,
    now_us: int,
    *,
    speed: float,
    seconds: float = math.inf,
    pause_s: float = 1.0,
) -> list[Stretch]:
    """The stretches with other times: each stream begins at the same moment, and every pause is as short.

    The last sample of the longest stream gets the time at which it will be sent at this speed, so no message comes from
    the future.

    Args:
        stretches: in time order within each stream.
        form: says the rate.
        now_us: the present.
        speed: as `paced` has it.
        seconds: of each stream at most.
        pause_s: between two stretches; longer than `recordings.max_gap_s`.
    """
    interval = 1e6 / form.rate_hz
    following: dict[object, float] = {}
    moved = []
    for stretch in stretches:
        start = following.get(stretch.key, 0.0)
        count = math.ceil(min(float(len(stretch.times)), max(0.0, seconds * 1e6 - start) / interval))
        if not count:
            continue
        times = stretch.times[:count] - stretch.times[0] + round(start)
        moved.append(replace(stretch, times=times, values=stretch.values[:count]))
        following[stretch.key] = float(times[-1]) + max(interval, pause_s * 1e6)
    longest = max((float(stretch.times[-1]) for stretch in moved), default=0.0)
    first_us = now_us - round(longest * (1 - 1 / speed if speed else 1))
    return [replace(stretch, times=stretch.times + first_us) for stretch in moved]


def renamed(stretches: Iterable[Stretch], session: str) -> Iterator[Stretch]:
    """The stretches with the session's name put before theirs, cut to what is legal."""
    for stretch in stretches:
        name = f"{session}-{stretch.key.session}"[:64]
        yield replace(stretch, key=stretch.key._replace(session=name))


def in_time_order(messages: Iterable[Made]) -> Iterator[Made]:
    """Messages of several streams by the time of their last sample; a day (UTC) is held in memory."""
    for _, day in itertools.groupby(messages, key=lambda made: made.end_us // DAY_US):
        yield from sorted(day, key=lambda made: made.end_us)
