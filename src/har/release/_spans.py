"""What both versions did in the last seconds, the last minute and the whole step, from counters that are read again and
again. Replicas come and go, and begin anew at 0: each one's increments are added up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from har.release._limits import hard_limits
from har.release._measured import Measured
from har.release._serving import Counts, Role
from har.release._values import Check, Limits, Side

SPANS_S = (3.0, 10.0, 60.0)
"""Spans that are held against the hard limits beside the whole step."""
_ROLES: tuple[Role, ...] = ("stable", "canary")
_RISING = ("requests", "failed", "refused", "starts")


@dataclass
class _Sum:
    """One version's increments since the first look."""

    counts: Counts = field(default_factory=Counts)
    measured: Measured | None = None
    memory_mb: float = 0.0
    first_mb: float = 0.0
    _last: Counts | None = None
    _pages: dict[str, Measured] = field(default_factory=dict)

    def add(self, counts: Counts | None, pages: Mapping[str, str]) -> None:
        if counts is not None:
            before = self._last or counts
            rises = {name: max(0, getattr(counts, name) - getattr(before, name)) for name in _RISING}
            total = {name: getattr(self.counts, name) + rise for name, rise in rises.items()}
            self.counts = Counts(**total, memory_mb=counts.memory_mb, in_flight=counts.in_flight)
            self._last = counts
        now = {address: Measured.of_pages([page]) for address, page in pages.items()}
        risen = [one.since(self._pages.get(address, one)) for address, one in now.items()]
        if now:
            known = [] if self.measured is None else [self.measured]
            self.measured = Measured.total([*known, *risen])
            self.memory_mb = max(one.memory_mb for one in now.values())
        self._pages |= now
        self.memory_mb = self.counts.memory_mb or self.memory_mb
        self.first_mb = self.first_mb or self.memory_mb

    def copy(self) -> _Sum:
        return _Sum(self.counts, self.measured, self.memory_mb, self.first_mb)


class Spans:
    """Keeps the counters of a release's two versions; the caller reads them, and the clock."""

    def __init__(self) -> None:
        self._sums: dict[Role, _Sum] = {role: _Sum() for role in _ROLES}
        self._looks: deque[tuple[float, dict[Role, _Sum]]] = deque()
        self._step: dict[Role, _Sum] = {}
        self._release: dict[Role, _Sum] = {}

    def enter(self) -> None:
        """A step begins with the last look."""
        self._step = {role: one.copy() for role, one in self._sums.items()}

    def add(self, now_s: float, counts: Mapping[Role, Counts], pages: Mapping[Role, Mapping[str, str]]) -> None:
        """A further look.

        Args:
            now_s: of a clock that never goes back.
            counts: what `Serving.counts` says.
            pages: of each version, `/metrics` of the replicas that answered, by address.
        """
        for role, one in self._sums.items():
            one.add(counts.get(role), pages.get(role, {}))
        look = {role: one.copy() for role, one in self._sums.items()}
        self._looks.append((now_s, look))
        self._release = self._release or look
        self._step = self._step or look
        while now_s - self._looks[0][0] > max(SPANS_S) + 1:
            self._looks.popleft()

    def step(self, role: Role) -> Side:
        """What a version did since the step began."""
        return self._side(role, self._step)

    def release(self, role: Role) -> Side:
        """What a version did since the first look."""
        return self._side(role, self._release)

    def last(self, role: Role, seconds: float) -> Side:
        """What a version did in the last seconds."""
        newest = self._looks[-1][0] if self._looks else 0.0
        return self._side(role, next((look for at, look in self._looks if newest - at <= seconds), {}))

    def hard_limits(self, limits: Limits, *, copies: bool = False) -> tuple[Check, ...]:
        """The checks of the step; where one fails in a shorter span, that one."""
        former = self.release("stable")
        spans = [(self.step("canary"), self.step("stable"))]
        spans += [(self.last("canary", span), self.last("stable", span)) for span in SPANS_S]
        each = [hard_limits(canary, stable, limits, former=former, copies=copies) for canary, stable in spans]
        return tuple(next((one for one in same if one.verdict == "fail"), same[0]) for same in zip(*each, strict=True))

    def _side(self, role: Role, begin: Mapping[Role, _Sum]) -> Side:
        end, start = self._sums[role], begin.get(role, _Sum())
        counts = {name: getattr(end.counts, name) - getattr(start.counts, name) for name in _RISING}
        measured = end.measured
        if measured is not None and start.measured is not None:
            measured = measured.since(start.measured)
        return Side(
            Counts(**counts, memory_mb=end.memory_mb, in_flight=end.counts.in_flight),
            measured,
            began_mb=start.memory_mb or end.first_mb,
        )
