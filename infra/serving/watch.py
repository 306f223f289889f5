"""Takes replicas that fail out of the requests, back in when they answer again, and replaces those that hang."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future

from infra.local.part import Say
from infra.serving import asking
from infra.serving.ejection import Count, Recent, failing
from infra.serving.fleet import READY, Fleet, Member
from infra.serving.proxy import BACKENDS, Backend, Server

Stats = Mapping[tuple[str, str], Mapping[str, str]]
"""What the proxy counts; see `Runtime.stats`."""

_HUNG_S = 20.0
"""A replica whose health check fails for this long while its process runs gets a new process."""


class Watch:
    """Looks after the replicas of all backends.

    Args:
        executor: asks replicas, so that nobody waits for them.
        say: gets a line when something changes.
    """

    def __init__(self, executor: Executor, say: Say) -> None:
        self._executor, self._say = executor, say
        self._recent = {backend: Recent() for backend in BACKENDS}
        self._probes: dict[tuple[Backend, str], Future[bool]] = {}
        self._down_since: dict[tuple[Backend, str], float] = {}

    def look(self, fleets: Iterable[Fleet], servers: Iterable[Server], stats: Stats) -> None:
        """Look at what the proxy knows now."""
        up = {(server.backend, server.name) for server in servers if server.up}
        now = time.monotonic()
        for fleet in fleets:
            self._eject(fleet, up, stats, now)
            for member in fleet.members:
                self._readmit(member, now)
                self._replace_hung(fleet, member, now, is_up=(member.backend, member.name) in up)

    def _eject(self, fleet: Fleet, up: set[tuple[str, str]], stats: Stats, now: float) -> None:
        members = {member.name: member for member in fleet.members}
        recent = self._recent[fleet.backend]
        recent.add(now, {name: count_of(stats.get((fleet.backend, name), {})) for name in members})
        usable = [name for name, member in members.items() if member.ready and (fleet.backend, name) in up]
        worst = failing(recent, usable)
        if worst is None:
            return
        seen, seconds = recent.of(worst), members[worst].eject()
        recent.forget(worst)
        self._say(
            f"{members[worst].part.name}: {seen.failed} of {seen.requests} requests failed; "
            f"it gets no more for {seconds:g} s."
        )

    def _readmit(self, member: Member, now: float) -> None:
        key = (member.backend, member.name)
        if not member.ejected_until or member.leaving_since or now < member.ejected_until:
            return
        probe = self._probes.get(key)
        if probe is None:
            self._probes[key] = self._executor.submit(asking.answers, member.address)
        elif probe.done():
            del self._probes[key]
            if probe.result():
                member.readmit()
                self._say(f"{member.part.name} answers again and gets requests.")
            else:
                self._say(f"{member.part.name} does not answer yet; it is asked again in {member.eject():g} s.")

    def _replace_hung(self, fleet: Fleet, member: Member, now: float, *, is_up: bool) -> None:
        key = (member.backend, member.name)
        if not member.ready or is_up:
            self._down_since.pop(key, None)
        elif now - self._down_since.setdefault(key, now) > _HUNG_S:
            del self._down_since[key]
            self._say(f"{member.part.name} did not answer {READY} for {_HUNG_S:g} s; it is replaced.")
            member.leave()
            fleet.restarts[member.tag] += 1


def count_of(row: Mapping[str, str]) -> Count:
    """What the proxy counted of a replica. What a retry healed is a failure of the replica all the same."""
    ended, failed, refused, broken = (int(row.get(name) or 0) for name in ("req_tot", "hrsp_5xx", "econ", "eresp"))
    return Count(ended, failed + refused + broken)
