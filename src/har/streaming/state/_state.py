"""What the hot store holds, and its interface."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WATCHED_US = 15_000_000
"""How long a signal is wanted after a page has asked for it."""
REMEMBERED = 100_000
"""A store remembers of so many subjects when it deleted their old answers last, so that its memory is bounded."""


def now_us() -> int:
    """The wall clock, in µs since 1970, UTC."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a window; times in µs since 1970, UTC, by the device's clock.

    `smoothed` is "" where smoothing is off or its delay has not passed; `unknown`: it is unlike the training data.
    """

    start_us: int
    end_us: int
    activity: str
    confidence: float
    abstained: bool
    model_version: int
    smoothed: str = ""
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """What is known of a device: wall clock of its last message, its clock's error, rate and lost messages.

    `clock_skew_s` is the wall clock at a message's receipt less the end of its samples: positive where the device's
    clock is behind.
    """

    device: str
    placement: str
    seen_us: int
    clock_skew_s: float
    rate_hz: float
    missing: int = 0
    late: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class SubjectState:
    """The present of one subject.

    Attributes:
        subject: whose.
        answer: to the last window.
        seen_us: wall clock of the last message; with the present time, it tells whether the state is stale.
        date: the day that `minutes` are of, in the project's time zone, YYYY-MM-DD.
        minutes: per activity, so far on that day; abstained windows count as "uncertain".
        windows: answered on that day.
        devices: their health.
        baseline: features of the subject's last days, by name; see the handbook.
    """

    subject: str
    answer: Answer
    seen_us: int
    date: str
    minutes: Mapping[str, float]
    windows: int
    devices: Sequence[DeviceHealth] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signal:
    """The last seconds of a subject's samples, thinned for a screen: int64 (n,) µs and float32 (n, C)."""

    times: NDArray[np.int64]
    values: NDArray[np.float32]


class HotStore(Protocol):
    """The state of all subjects; each method raises `StateError` where the store is away."""

    def write(self, states: Sequence[SubjectState], answers: Mapping[str, Sequence[Answer]]) -> None:
        """Replace the states of these subjects, and add to their recent answers; one with the same start is replaced.

        A state with an empty baseline leaves the subject's baseline as it is: the nightly job writes it.
        """

    def write_baselines(self, baselines: Mapping[str, Mapping[str, float]]) -> None:
        """Replace the baselines of these subjects."""

    def subjects(self) -> list[SubjectState]:
        """All subjects of the last `stream.hot.keep_h`, sorted by name."""

    def subject(self, name: str) -> SubjectState | None:
        """One of them."""

    def answers(self, name: str, *, since_us: int = 0) -> list[Answer]:
        """The subject's recent answers that start later than `since_us`, in time order; at least those of a day."""

    def watch(self, name: str) -> None:
        """A page shows this subject: for the next seconds, its signal is wanted."""

    def watched(self) -> set[str]:
        """The subjects whose signal is wanted now."""

    def write_signal(self, name: str, signal: Signal) -> None:
        """Replace a subject's last seconds."""

    def signal(self, name: str) -> Signal | None:
        """A subject's last seconds."""

    def write_ledger(self, ledger: Mapping[str, Any]) -> None:
        """Replace what the consumers report of themselves: `har.streaming.ledger.Ledger.as_dict`."""

    def ledger(self) -> Mapping[str, Any]:
        """What they reported last; empty if nothing."""

    def clear(self) -> None:
        """Forget everything; also repairs a damaged file."""

    def close(self) -> None:
        """End the connection."""
