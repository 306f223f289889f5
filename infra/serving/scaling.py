"""How many replicas a version should have: more while they are busy, fewer when they have been idle for long.

Adding is quick and removing slow, and the load that begins an addition is twice the one that ends it: a number between
the two changes nothing, so that it does not go up and down with every burst.
"""

from __future__ import annotations

from dataclasses import dataclass

BUSY_IN_FLIGHT = 8.0
"""Requests at once per replica. One at a time is worked on; the others wait."""
IDLE_IN_FLIGHT = 4.0
BUSY_P99_S = 0.05
"""The service's objective for the 99 % quantile of its answers."""
BUSY_S, IDLE_S = 5.0, 60.0
"""The load has to last so long before a replica is added, or removed."""


@dataclass
class Rule:
    """Decides from one observation after the other.

    Attributes:
        least: never fewer.
        most: never more; with `least` or less, nothing is ever added.
        wanted: the number that is wanted now.
    """

    least: int
    most: int
    wanted: int = 0
    _busy_since: float | None = None
    _idle_since: float | None = None

    def clamped(self) -> int:
        """The number that is wanted now, within the limits as they are now."""
        return max(self.least, min(self.wanted, self.most))

    def observe(self, now: float, *, ready: int, in_flight: float, p99_s: float | None) -> int:
        """Take in how busy the replicas are; returns how many there should be.

        Args:
            now: seconds of a clock that never goes back.
            ready: replicas that answer.
            in_flight: requests that are answered or wait, over all replicas.
            p99_s: 99 % of the last answers were faster; None: too few answers to tell.
        """
        self.wanted = self.clamped()
        if ready != self.wanted:  # one is on its way, or ends
            self._busy_since = self._idle_since = None
            return self.wanted
        slow = p99_s is not None and p99_s > BUSY_P99_S
        busy = in_flight > BUSY_IN_FLIGHT * ready or (slow and in_flight > ready)
        idle = ready > 1 and in_flight < IDLE_IN_FLIGHT * (ready - 1) and not slow
        self._busy_since = (self._busy_since or now) if busy else None
        self._idle_since = (self._idle_since or now) if idle else None
        if self._busy_since is not None and now - self._busy_since >= BUSY_S:
            self.wanted = min(self.wanted + 1, max(self.least, self.most))
            self._busy_since = None
        elif self._idle_since is not None and now - self._idle_since >= IDLE_S:
            self.wanted = max(self.wanted - 1, self.least)
            self._idle_since = None
        return self.wanted
