"""What comes out of windows in progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from har.streaming.envelope import StreamKey


class Fate(Enum):
    """What becomes of a message that is no duplicate."""

    WAITING = "waiting"
    """Its samples are, or will be, part of windows in progress."""
    LATE = "late"
    """The windows of its time are answered already."""


@dataclass(frozen=True, slots=True)
class Window:
    """A complete window.

    Attributes:
        key: its stream.
        session: the session in the lake; another one than the stream's after its clock was set back.
        segment: number of the gap-free run within the session.
        start_us: stamp of its first sample.
        values: float32 (T, C), the project's rate, channels and SI units.
        last_received_us: wall clock at which the message with its last sample was received.
    """

    key: StreamKey
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
        session: the session in the lake.
        segment: number of the gap-free run within the session.
        times: int64 (n,), µs since 1970, UTC.
        values: float32 (n, C).
        flags: int8 (n,), bits of `har.schema.FLAGS`.
        placement: where the sensor was worn, "" if unknown.
    """

    key: StreamKey
    session: str
    segment: int
    times: NDArray[np.int64]
    values: NDArray[np.float32]
    flags: NDArray[np.int8]
    placement: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is complete since the last time; to be stored as a whole.

    Attributes:
        windows: to be answered, in time order within each stream.
        stretches: samples for the lake.
        settled: ids of messages that no window in progress needs any more.
        tracks: the state of each changed stream, from which `Assembly.restore` goes on after a restart; None: the
            stream is over and forgotten.
    """

    windows: list[Window] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    tracks: dict[StreamKey, bytes | None] = field(default_factory=dict)
