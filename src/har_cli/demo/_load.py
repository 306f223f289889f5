"""Steady requests to the online service by several subjects, and what was answered when, by which version."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import httpx
import numpy as np
from numpy.typing import NDArray

from har.pages import Answers

_CLIENTS = 3
_PAUSE_S = 0.04
_BIN_S = 0.5


@dataclass(frozen=True)
class Answered:
    """One request: when it was answered (seconds since 1970), of which subject, its status (0: none), its version (0:
    the answer does not say).
    """

    at: float
    subject: str
    status: int
    version: int


class Load:
    """Asks the service all the time, each subject in turn.

    Args:
        address: of the service.
        windows: for each subject float32 (N, T, C), all sent at once.
    """

    def __init__(self, address: str, windows: Mapping[str, NDArray[np.float32]]) -> None:
        self._address, self._windows = address, windows
        self.answers: list[Answered] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), name=f"load {number}", daemon=True)
            for number in range(_CLIENTS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10)

    def between(self, first: float, last: float) -> list[Answered]:
        """What was answered in a time, in seconds since 1970."""
        return [one for one in list(self.answers) if first <= one.at <= last]

    def _ask(self, turn: int) -> None:
        subjects = sorted(self._windows)
        with httpx.Client(base_url=self._address, timeout=10, trust_env=False) as client:
            while not self._ended.wait(_PAUSE_S):
                turn += 1
                subject = subjects[turn % len(subjects)]
                windows = self._windows[subject]
                status, version = 0, 0
                try:
                    answer = client.post(
                        "/predict/raw",
                        params={"shape": ",".join(map(str, windows.shape)), "subject": subject},
                        content=np.ascontiguousarray(windows, "<f4").tobytes(),
                        headers={"Content-Type": "application/octet-stream", "X-Subject": subject},
                    )
                    status = answer.status_code
                    version = answer.json()["model_version"] if status == 200 else 0
                except (httpx.TransportError, ValueError, KeyError):  # counted: status 0
                    pass
                self.answers.append(Answered(time.time(), subject, status, version))


def by_version(answers: Sequence[Answered], whose: Callable[[Answered], int], until: float) -> list[Answers]:
    """What each version answered per second, and failed to.

    Args:
        answers: in any order; at least one.
        whose: the version that a request without a version in its answer went to.
        until: end of the time, in seconds since 1970.
    """
    begin = min(one.at for one in answers)
    bins = max(1, math.ceil((until - begin) / _BIN_S))
    good: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    for one in answers:
        key = (one.version or whose(one), min(bins - 1, int((one.at - begin) / _BIN_S)))
        (good if one.status == 200 else failed)[key] += 1
    versions = sorted({version for version, _ in (*good, *failed)})
    return [
        Answers(
            version,
            tuple(
                (
                    begin + number * _BIN_S,
                    (good[version, number] + failed[version, number]) / _BIN_S,
                    failed[version, number] / _BIN_S,
                )
                for number in range(bins)
            ),
            exact=True,
        )
        for version in versions
    ]
