"""Find the pauses of recordings in the lake, of which the table `recordings` has the number only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from har.lake import Partition
from har.project import Project
from har.recordings import gaps_of, longest

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Gap:
    """A pause of a recording: `start` is its last sample before, `end` the first after."""

    date: dt.date
    subject: str
    session: str
    start: dt.datetime
    end: dt.datetime

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Gaps:
    """The pauses of some recordings.

    Attributes:
        count: how many there are.
        seconds: their length together.
        longest: the longest, in the order of date, subject and time.
    """

    count: int
    seconds: float
    longest: tuple[Gap, ...]


def find_gaps(project: Project, partitions: Iterable[Partition], *, most: int = 20) -> Gaps:
    """The pauses longer than `recordings.max_gap_s` of these subject-days; memory for one subject-day at a time.

    Args:
        project: its lake.
        partitions: dates and subjects.
        most: how many pauses to name.

    Raises:
        LakeDamageError: a file is missing or damaged.
    """
    count, micros = 0, 0
    named: list[Gap] = []
    for (date, subject), frame in project.lake.samples.each(None, partitions, ["session", "segment", "time"]):
        for (session,), samples in frame.group_by("session", maintain_order=True):
            ordered = samples.sort("time")
            gaps = gaps_of(ordered["time"].to_physical().to_numpy(), ordered["segment"].to_numpy())
            count += len(gaps)
            micros += int((gaps[:, 1] - gaps[:, 0]).sum())
            ends = longest(gaps, most)
            named += [Gap(date, subject, str(session), _moment(start), _moment(end)) for start, end in ends]
            if len(named) > 10 * most:
                named = _longest(named, most)
    return Gaps(
        count, micros / 1e6, tuple(sorted(_longest(named, most), key=lambda one: (one.date, one.subject, one.start)))
    )


def _longest(gaps: list[Gap], most: int) -> list[Gap]:
    return sorted(gaps, key=lambda one: one.start - one.end)[:most]


def _moment(time_us: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=time_us)
