"""When a replica gets no more requests, and for how long.

HAProxy's own `on-error mark-down` flaps: the health check of a failing replica passes, so it is back after a second and
fails again. Here, a replica is judged by its answers beside those of the other replicas, so that a burden that all of
them feel ejects none, and each further time it has to wait longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW_S = 2.0
LEAST_REQUESTS = 10
FAILED_SHARE = 0.3
TIMES_THE_OTHERS = 3.0
PAUSES_S = (5.0, 10.0, 20.0, 40.0, 60.0)
FORGIVEN_S = 120.0
"""A replica that answered well for this long begins again with the shortest pause."""


@dataclass(frozen=True)
class Count:
    """What a replica did until now: requests, and those that failed (5xx, a broken or refused connection)."""

    requests: int
    failed: int


@dataclass
class Recent:
    """The last seconds of some replicas, from counters that only rise."""

    _counts: dict[str, deque[tuple[float, Count]]] = field(default_factory=dict)

    def add(self, now: float, counts: Mapping[str, Count]) -> None:
        """Note the counters of each replica; one that is not named any more, or begins with 0 again, is forgotten."""
        for name in [*self._counts]:
            last = self._counts[name][-1][1]
            if name not in counts or counts[name].requests < last.requests:
                del self._counts[name]
        for name, count in counts.items():
            entries = self._counts.setdefault(name, deque())
            entries.append((now, count))
            while len(entries) > 2 and entries[1][0] <= now - WINDOW_S:
                entries.popleft()

    def of(self, name: str) -> Count:
        """What a replica did in the window."""
        entries = self._counts.get(name)
        if not entries:
            return Count(0, 0)
        (_, first), (_, last) = entries[0], entries[-1]
        return Count(last.requests - first.requests, last.failed - first.failed)

    def forget(self, name: str) -> None:
        """Begin anew with a replica."""
        self._counts.pop(name, None)


def failing(recent: Recent, usable: list[str]) -> str | None:
    """The replica to eject; None: none.

    It failed on a share of its requests that is large, and several times that of the others. The last usable replica
    is never ejected.

    Args:
        recent: of all replicas of a backend.
        usable: those that get requests.
    """
    if len(usable) < 2:
        return None
    counts = {name: recent.of(name) for name in usable}
    worst = max(usable, key=lambda name: _share(counts[name]))
    own = counts.pop(worst)
    others = Count(sum(one.requests for one in counts.values()), sum(one.failed for one in counts.values()))
    if own.requests < LEAST_REQUESTS or _share(own) < FAILED_SHARE:
        return None
    return worst if _share(own) >= TIMES_THE_OTHERS * _share(others) else None


def pause_s(ejections: int) -> float:
    """How long a replica waits after its n-th ejection in a row, counted from 1."""
    return PAUSES_S[min(ejections, len(PAUSES_S)) - 1]


def _share(count: Count) -> float:
    return count.failed / count.requests if count.requests else 0.0
