"""How busy the replicas of the stable version are, and how many there should be therefore."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future

from infra.local.part import Say
from infra.serving import asking
from infra.serving.fleet import Fleet
from infra.serving.scaling import Rule
from infra.serving.watch import Stats

_Answered = dict[str, dict[float, float]]


class Busyness:
    """The supervisor's own scaling.

    Args:
        executor: reads the replicas' metrics, so that nobody waits for them.
        say: gets a line when the number changes.
        most: `serving.replicas_max`; with no more than the least number, nothing is ever added.
    """

    def __init__(self, executor: Executor, say: Say, *, most: int) -> None:
        self._executor, self._say = executor, say
        self._rule = Rule(least=1, most=most)
        self._reading: Future[_Answered] | None = None
        self._answered: _Answered = {}
        self._p99_s: float | None = None

    def wanted(self, least: int) -> int:
        """How many replicas each version should have.

        Args:
            least: what har.toml or `har scale` says.
        """
        self._rule.least = least
        return self._rule.clamped()

    def look(self, fleet: Fleet, stats: Stats) -> None:
        """Look at the replicas of the stable version, about once a second."""
        if self._rule.most <= self._rule.least:
            return
        ready = [member for member in fleet.members if member.ready]
        if self._reading is None:
            self._reading = self._executor.submit(asking.answered_within, [member.address for member in ready])
        elif self._reading.done():
            answered, self._reading = self._reading.result(), None
            self._p99_s, self._answered = asking.p99_s(self._answered, answered), answered
        row = stats.get((fleet.backend, "BACKEND"), {})
        in_flight = float(row.get("scur") or 0)  # those that wait are among them
        before = self._rule.clamped()
        now = self._rule.observe(time.monotonic(), ready=len(ready), in_flight=in_flight, p99_s=self._p99_s)
        if now != before:
            slow = "" if self._p99_s is None else f", p99 at most {1000 * self._p99_s:g} ms"
            self._say(f"online service: {now} replicas instead of {before} ({in_flight:g} requests at once{slow}).")
