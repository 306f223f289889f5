"""The same stretch of time twice: samples of one subject and placement that several sessions have are counted once.

Two exports of a device may share minutes, under other names and with other bytes. The session that was ingested first
keeps the samples; the later one gets the rest.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import ConflictingRecordingError, DuplicateRecordingError
from har.lake import Lake, Partition
from har.recordings import InboxFile, Part, kept
from har.settings import Settings

Key = tuple[dt.date, str, str]
"""Date, subject and session: one row of `recordings`."""

SAME_SIGNAL = 0.9
"""Two sessions have the same signal where one explains this share of the other's variance."""
_COMPARED = 20_000
_DAY = dt.timedelta(days=1)
_MARGIN_US = 1_000_000


@dataclass(frozen=True)
class Session:
    """A stored session, or one that is about to be: when it was recorded, and where the sensor was worn.

    Attributes:
        key: date, subject and session.
        placement: where the sensor was worn, "" if unknown.
        begins: int64 (k,), µs since 1970: the first sample of each segment, increasing.
        ends: int64 (k,): the last sample of each.
        stored: whether it was in the lake before this run.
        frame: its samples; None: not read, because nothing overlaps.
    """

    key: Key
    placement: str
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    stored: bool
    frame: pl.DataFrame | None = None

    def covers(self, times: NDArray[np.int64], interval_us: float) -> NDArray[np.bool_]:
        """Whether each time lies in one of the segments, bool (n,); half an interval beyond its ends counts."""
        segment = np.searchsorted(self.begins - interval_us / 2, times, side="right") - 1
        return np.asarray((segment >= 0) & (times <= self.ends[segment] + interval_us / 2), np.bool_)

    def __str__(self) -> str:
        return f"session {self.key[2]!r} on {self.key[0]}"


@dataclass(frozen=True)
class Trimmed:
    """A part without the samples that other sessions have: how many those are, and what to tell about them."""

    part: Part
    overlapping: int
    notes: tuple[str, ...]


class Sessions:
    """The sessions of the subjects that are being ingested: those of the lake, read when needed, and new ones.

    Args:
        lake: its samples; a session that is not in `placements` is not looked at.
        settings: the rate.
        placements: the placement by session, for each partition of the lake.
        lost: partitions with missing samples; of these, what can be read is compared.
    """

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        placements: Mapping[Partition, Mapping[str, str]],
        lost: Collection[Partition] = (),
    ) -> None:
        self._lake = lake
        self._lost = frozenset(lost)
        self._interval_us = 1e6 / settings.sensors.rate_hz
        self._placements = placements
        self._by_subject: dict[str, list[Session]] = {}
        self._read: set[Partition] = set()
        self._spans: dict[Partition, tuple[int, int]] = {}
        self._spanned: set[dt.date] = set()

    def add(self, subject: str, parts: Sequence[Part]) -> None:
        """Add the parts of a new file."""
        for part in parts:
            begins, ends = _segments(part.recording.frame)
            key = (part.date, subject, part.session)
            session = Session(key, part.recording.placement, begins, ends, False, part.recording.frame)
            self._by_subject.setdefault(subject, []).append(session)

    def beside(self, subject: str, parts: Sequence[Part], ignored: Collection[Key]) -> list[Session]:
        """The sessions that share time with one of the parts, with their samples.

        Args:
            subject: of the parts.
            parts: of one file.
            ignored: stored sessions that this run replaces.

        Raises:
            LakeError: the lake cannot be read.
        """
        self._load(subject, parts)
        times = [part.recording.frame["time"].to_physical().to_numpy() for part in parts]
        return self._with_samples(
            [
                session
                for session in self._by_subject.get(subject, [])
                if not (session.stored and session.key in ignored)
                and any(session.covers(one, self._interval_us).any() for one in times)
            ]
        )

    def _load(self, subject: str, parts: Sequence[Part]) -> None:
        """Read when the stored sessions were recorded that may share time with one of the parts."""
        # Folders may be named by the date of another time zone: the days around may hold the same time.
        near = {(date, subject) for part in parts for date in around(part.date)}
        unread = near & self._placements.keys() - self._read
        if not unread:
            return
        new = {date for date, _ in unread} - self._spanned
        if new:  # at once for all subjects
            self._spanned |= new
            self._spans |= self._lake.samples.spans("time", [one for one in self._placements if one[0] in new])
        times = [part.recording.frame["time"].to_physical() for part in parts]
        first, last = min(one[0] for one in times) - _MARGIN_US, max(one[-1] for one in times) + _MARGIN_US
        wanted = []
        for partition in sorted(unread):
            begin, end = self._spans.get(partition, (first, last))
            if begin <= last and first <= end:
                wanted.append(partition)
        if not wanted:
            return
        for partition, frame in self._samples(wanted, ["session", "segment", "time"]):
            self._read.add(partition)
            placements = self._placements[partition]
            for (name,), samples in frame.partition_by("session", as_dict=True, maintain_order=True).items():
                if name in placements:
                    begins, ends = _segments(samples)
                    session = Session((*partition, name), placements[name], begins, ends, True)
                    self._by_subject.setdefault(subject, []).append(session)

    def _samples(self, partitions: Sequence[Partition], columns: list[str]) -> Iterator[tuple[Partition, pl.DataFrame]]:
        """The samples of each partition; of a damaged one those that can be read."""
        samples = self._lake.samples
        yield from samples.each(None, [one for one in partitions if one not in self._lost], columns)
        for one in partitions:
            if one in self._lost:
                yield one, samples.readable([one]).select(columns)

    def _with_samples(self, sessions: list[Session]) -> list[Session]:
        unread = {session.key[:2] for session in sessions if session.frame is None}
        if not unread:
            return sessions
        columns = ["session", "time", "activity", *self._lake.channels]
        frames = dict(self._samples(sorted(unread), columns))
        return [
            session
            if session.frame is not None
            else dataclasses.replace(
                session, frame=frames[session.key[:2]].filter(pl.col("session") == session.key[2]).sort("time")
            )
            for session in sessions
        ]


def counted_once(
    file: InboxFile, parts: Sequence[Part], beside: Sequence[Session], settings: Settings
) -> list[Trimmed]:
    """The parts without the samples that sessions of the same placement have.

    Where a placement is unknown, only a session with the same signal counts as the same recording; with another signal
    both are kept, as of two sensors, and a note says so.

    Raises:
        DuplicateRecordingError: less than a second is left.
        ConflictingRecordingError: a session of the same, known placement has another signal at more than half of the
            time.
    """
    done = [_trim(file, part, beside, settings) for part in parts]
    left = sum(len(one.part.recording.frame) for one in done)
    taken = sum(one.overlapping for one in done)
    if taken and left < settings.sensors.rate_hz:
        raise DuplicateRecordingError(
            where=file.where,
            expected="samples that are not in the lake yet",
            got=f"{taken} that are in {', '.join(map(str, beside))} already, and {left} others",
            remedy="Delete the copy; to replace the other file, give this one its name and run `har ingest --replace`.",
        )
    return [one for one in done if len(one.part.recording.frame)]


def _trim(file: InboxFile, part: Part, beside: Sequence[Session], settings: Settings) -> Trimmed:
    frame, rate_hz = part.recording.frame, settings.sensors.rate_hz
    times = frame["time"].to_physical().to_numpy()
    taken, doubtful = np.zeros(len(frame), np.bool_), np.zeros(len(frame), np.bool_)
    notes, others = [], []
    for session in beside:
        worn = _places(part, session)
        if len(worn) > 1:
            continue
        shared = session.covers(times, 1e6 / rate_hz)
        if not shared.any():
            continue
        assert session.frame is not None  # noqa: S101  `beside` has read it
        own = frame.filter(pl.Series(shared))
        same = _same_signal(own, session.frame, settings.sensors.channels)
        seconds = f"{shared.sum() / rate_hz:.1f} s"
        if not same and not worn:
            doubtful |= shared
            others.append(session)
            continue
        if not same and shared.mean() > 0.5:
            raise _conflict(file, session, seconds, *worn)
        taken |= shared
        # Less than a second of two sessions in a row is nothing to tell: clocks are not exact.
        if shared.sum() >= rate_hz:
            words = "are in" if same else "are at the time of"
            lost = _lost(own, session.frame)
            notes.append(f"{file.where}: {seconds} {words} {session} already, and are counted once.{lost}")
    if doubtful.sum() >= rate_hz:
        notes.append(
            f"{file.where}: {doubtful.sum() / rate_hz:.1f} s are at the same time as {', '.join(map(str, others))} of "
            "the subject, with other values. Both are kept, as of two sensors: name their placements, or remove one."
        )
    if taken.all():
        recording = dataclasses.replace(part.recording, frame=frame.clear())
    else:
        recording = kept(part.recording, ~taken, settings)
    return Trimmed(dataclasses.replace(part, recording=recording), int(taken.sum()), tuple(notes))


def _places(part: Part, session: Session) -> set[str]:
    """The known placements of the two: none if one is unknown, two if they differ."""
    both = {part.recording.placement, session.placement}
    return set() if "" in both else both


def _same_signal(frame: pl.DataFrame, other: pl.DataFrame, channels: Sequence[str]) -> bool:
    """Whether the samples agree with those of the other session at the same times, up to noise and rounding."""
    rows = np.linspace(0, len(frame) - 1, min(len(frame), _COMPARED)).astype(np.int64)
    times = frame["time"].to_physical().to_numpy()[rows]
    there = other["time"].to_physical().to_numpy()
    spread = difference = 0.0
    for channel in channels:
        mine = frame[channel].to_numpy()[rows].astype(np.float64)
        theirs = np.interp(times, there, other[channel].to_numpy())
        spread += float(theirs.var())
        difference += float(np.square(mine - theirs).mean())
    return difference <= (1 - SAME_SIGNAL) * spread + 1e-9


def _lost(frame: pl.DataFrame, other: pl.DataFrame) -> str:
    """A sentence if the samples that are left out have labels, and the other session has none."""
    if frame["activity"].null_count() == len(frame) or other["activity"].null_count() < len(other):
        return ""
    return " Their labels are left out with them: to use them, give the file the other's name, and --replace."


def _conflict(file: InboxFile, session: Session, seconds: str, worn: str) -> ConflictingRecordingError:
    return ConflictingRecordingError(
        where=file.where,
        expected=f"one recording of subject {file.subject!r} at placement {worn!r} at a time",
        got=f"{seconds} at the same time as {session}, with other values",
        remedy="If these are two sensors, name their placements in the files (recordings.placement_column); if a clock "
        "was wrong, correct the stamps; to replace the other, give this file its name and run `har ingest --replace`.",
    )


def _segments(frame: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    bounds = frame.group_by("segment").agg(begin=pl.col("time").min(), end=pl.col("time").max()).sort("begin")
    return bounds["begin"].to_physical().to_numpy(), bounds["end"].to_physical().to_numpy()


def around(date: dt.date) -> list[dt.date]:
    """The date and its neighbours; the calendar ends at both sides."""
    return [date, *([date - _DAY] if date > dt.date.min else []), *([date + _DAY] if date < dt.date.max else [])]
