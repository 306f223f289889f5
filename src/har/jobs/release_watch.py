"""The evidence about a release that runs: the proxy's counts and the replicas' metrics, the prediction log, Prometheus.

The guard reads counts and metrics itself, about twice a second; the judge reads the prediction log and Prometheus, too.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from har.release import (
    SHADOW,
    Check,
    Counts,
    Judged,
    Limits,
    Measured,
    Paired,
    Plan,
    Role,
    Serving,
    Side,
    State,
    Step,
    StepEvidence,
    hard_limits,
    judge,
)

_TIMEOUT_S = 0.8
"""Of one look at a replica's metrics."""
_RECENT_S = 10.0
"""Besides the whole step, its last seconds are held to the limits: a fault that begins late shows there first."""
_NOT_READY_S = 5.0
"""A version none of whose replicas is ready for this long is taken back."""

Pages = Callable[[Sequence[str]], "list[str] | None"]
Silent = Mapping[str, str]


@dataclass(frozen=True)
class Snapshot:
    """What was counted at a moment.

    Attributes:
        at: on the monotonic clock.
        counts: by role.
        measured: by role; a role without an entry did not answer.
    """

    at: float
    counts: Mapping[Role, Counts]
    measured: Mapping[Role, Measured]


@dataclass
class LiveWatch:
    """Implements `har.release.Watch` for a release that runs.

    Attributes:
        serving: the place.
        limits_of: the release.
        plan: its steps.
        paired: windows that both versions answered since the release began, and what did not answer.
    """

    serving: Serving
    limits_of: Limits
    plan: Plan
    paired: Callable[[State, Step], tuple[Paired, Silent]]
    _first: Snapshot | None = None
    _begin: Snapshot | None = None
    _recent: deque[Snapshot] = field(default_factory=deque)
    _none_ready: float | None = None
    _kept: Side | None = None

    def enter(self, state: State, step: Step) -> None:
        """A step begins: what was counted before does not concern it."""
        self._begin = self._look()
        if self._first is None or state.phase == "keeping":  # what was the canary is the stable version now
            self._first = self._begin
        self._recent.clear()
        self._none_ready = None

    def limits(self, state: State) -> Judged:
        """The hard limits over the step and over its last seconds."""
        ready = self._readiness(state)
        if ready is not None:
            return ready
        now = self._look()
        self._recent.append(now)
        while now.at - self._recent[0].at > _RECENT_S:
            self._recent.popleft()
        found: list[Check] = []
        for begin in (self._begin, self._recent[0]):
            assert begin is not None  # noqa: S101  a step has begun
            canary, stable = self._sides(state, begin, now)
            found += hard_limits(
                canary, stable, self.limits_of, former=self._former(state, now), copies=self._copies(state)
            )
        failed = [check for check in found if check.verdict == "fail"]
        if not failed:
            return Judged("pass")
        return Judged("fail", tuple(check.to_json() for check in failed), reason=failed[0].reason)

    def judge(self, state: State, step: Step) -> Judged:
        """The verdict about the step so far."""
        begin = self._begin
        assert begin is not None  # noqa: S101  a step has begun
        now = self._look()
        paired, silent = self.paired(state, step)
        canary, stable = self._sides(state, begin, now)
        evidence = StepEvidence(
            seconds=now.at - begin.at,
            canary=canary,
            stable=stable,
            paired=paired,
            former=self._former(state, now),
            copies=self._copies(state),
            silent=silent,
        )
        limits = replace(self.limits_of, dwell_s=step.dwell_s, requests=step.requests, subjects=step.subjects)
        verdict = judge(evidence, limits)
        return Judged(
            verdict.outcome,
            tuple(check.to_json() for check in verdict.checks),
            verdict.missing,
            " ".join(verdict.reasons),
        )

    def _readiness(self, state: State) -> Judged | None:
        """Whether none of its replicas has been ready for too long, although the former version's are."""
        replicas = self.serving.now().replicas or {}
        gone = state.phase == "step" and not replicas.get("canary") and bool(replicas.get("stable"))
        if not gone:
            self._none_ready = None
            return None
        now = time.monotonic()
        self._none_ready = self._none_ready or now
        seconds = now - self._none_ready
        if seconds < _NOT_READY_S:
            return None
        said = f"None of the new version's replicas has been ready for {seconds:.0f} s."
        check = Check("ready", seconds, _NOT_READY_S, 0, 0, "fail", said)
        return Judged("fail", (check.to_json(),), reason=said)

    def _look(self) -> Snapshot:
        addresses = self.serving.addresses()
        with ThreadPoolExecutor(4) as pool:
            read = {role: pool.submit(_pages, found) for role, found in addresses.items() if found}
        pages = {role: future.result() for role, future in read.items()}
        measured = {role: Measured.of_pages(found) for role, found in pages.items() if found is not None}
        return Snapshot(time.monotonic(), self.serving.counts(), measured)

    def _sides(self, state: State, begin: Snapshot, now: Snapshot) -> tuple[Side, Side]:
        """Canary and stable. Once it has taken over, the new version is the stable one, and alone."""
        if state.phase == "keeping":
            return self._side("stable", begin, now), Side()
        return self._side("canary", begin, now), self._side("stable", begin, now)

    def _side(self, role: Role, begin: Snapshot, now: Snapshot) -> Side:
        before, after = begin.counts.get(role, Counts()), now.counts.get(role, Counts())
        counts = Counts(
            requests=max(0, after.requests - before.requests),
            failed=max(0, after.failed - before.failed),
            refused=max(0, after.refused - before.refused),
            starts=max(0, after.starts - before.starts),
            memory_mb=after.memory_mb,
            in_flight=after.in_flight,
        )
        measured, earlier = now.measured.get(role), begin.measured.get(role)
        if measured is not None and earlier is not None:
            measured = measured.since(earlier)
        return Side(counts, measured, self._began_mb(role, begin))

    def _began_mb(self, role: Role, begin: Snapshot) -> float:
        """Memory when the release began, or the step, if the release was taken up since."""
        for snapshot in (self._first, begin):
            if snapshot is None:
                continue
            counts, measured = snapshot.counts.get(role), snapshot.measured.get(role)
            if counts is not None and counts.memory_mb:
                return counts.memory_mb
            if measured is not None and measured.memory_mb:
                return measured.memory_mb
        return 0.0

    def _former(self, state: State, now: Snapshot) -> Side | None:
        """The former version since the release began."""
        if self._first is None or state.phase != "step":
            return self._kept
        self._kept = self._side("stable", self._first, now)
        return self._kept

    def _copies(self, state: State) -> bool:
        return state.phase == "step" and self.plan.steps[state.step].name == SHADOW


def _pages(addresses: Sequence[str]) -> list[str] | None:
    """The metrics of each replica; None if one of them does not answer."""
    import httpx

    try:
        # The replicas run on this machine, which a proxy cannot reach.
        with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
            return [client.get(f"{address}/metrics").raise_for_status().text for address in addresses]
    except httpx.HTTPError:
        return None
