"""What comes out of windows in progress."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from har.streaming.envelope import StreamKey


class Fate(Enum):
    """What becomes of a message."""

    WAITING = "waiting"
    """Its samples are, or will be, part of windows in progress."""
    LATE = "late"
    """It was given up: windows after its time are in progress, or answered already."""
    DUPLICATE = "duplicate"
    """A message with its sequence has been here, and its time lies within the stream's."""


@dataclass(frozen=True, slots=True)
class Window:
    """A complete window.

    Attributes:
        key: its stream.
        date: under which the lake stores it, in the project's time zone.
        session: the session in the lake; another one than the stream's after its clock was set back.
        segment: number of the gap-free run within the session.
        start_us: stamp of its first sample.
        values: float32 (T, C), the project's rate, channels and SI units.
        last_received_us: wall clock at which the message with its last sample was received.
    """

    key: StreamKey
    date: dt.date
    session: str
    segment: int
    start_us: int
    values: NDArray[np.float32]
    last_received_us: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples that will not change any more, as the lake stores them.

    Attributes:
        key: their stream.
        date: under which the lake stores them, in the project's time zone.
        session: the session in the lake.
        segment: number of the gap-free run within the session.
        times: int64 (n,), µs since 1970, UTC.
        values: float32 (n, C).
        flags: int8 (n,), bits of `har.schema.FLAGS`.
        placement: where the sensor was worn, "" if unknown.
        rate_hz: samples per second of the device, before resampling.
        resampled: whether they are on another grid than the device's.
    """

    key: StreamKey
    date: dt.date
    session: str
    segment: int
    times: NDArray[np.int64]
    values: NDArray[np.float32]
    flags: NDArray[np.int8]
    placement: str = ""
    rate_hz: float = 0.0
    resampled: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What is complete since the last time; to be stored as a whole.

    Attributes:
        windows: to be answered, in time order within each stream.
        stretches: samples for the lake.
        settled: ids of messages that no window in progress needs any more.
        tracks: the state of each changed stream, from which `Assembly.restore` goes on after a restart; None: the
            stream is over and forgotten.
        missing: messages of each stream that were given up; some may still come, late.
        short: samples of each stream's segments that ended before their first window.
    """

    windows: list[Window] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    tracks: dict[StreamKey, bytes | None] = field(default_factory=dict)
    missing: dict[StreamKey, int] = field(default_factory=dict)
    short: dict[StreamKey, int] = field(default_factory=dict)
