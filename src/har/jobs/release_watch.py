"""The evidence about a release that runs: the proxy's counts and the replicas' metrics, the prediction log, Prometheus.

The guard reads counts and metrics itself, about twice a second; the judge also reads the prediction log, and asks
Prometheus whether it sees the new version's replicas: while it does not, nobody is warned of what happens, and nothing
passes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from har.errors import reason
from har.project import Project
from har.release import (
    SHADOW,
    Check,
    Counts,
    Judged,
    Limits,
    PairedReader,
    Plan,
    Role,
    Serving,
    Spans,
    State,
    Step,
    StepEvidence,
    Verdict,
    evaluated_disagreement,
    judge,
)

_TIMEOUT_S = 0.8
"""Of one look at a replica's metrics."""
_NOT_READY_S = 5.0
"""A version none of whose replicas is ready for this long is taken back."""

Seen = Callable[[str], "set[str]"]
"""The addresses `host:port` of the online service's replicas that the Prometheus at an address reads."""


def limits_of(project: Project, state: State) -> Limits:
    """The project's limits, with what the evaluation lets expect of the two versions' disagreement."""
    expected = evaluated_disagreement(project.registry.log(), state.version, state.former)
    return Limits.of(project.settings, disagreement=expected)


def reader_of(project: Project, state: State) -> PairedReader:
    """Reads what both versions of a release said about the same windows."""
    settings = project.settings
    return PairedReader(
        journal=settings.path("journal"),
        activities=tuple(settings.activities.all),
        new=state.version,
        former=state.former,
        since_us=int(state.began * 1e6),
        lake=project.lake,
    )


@dataclass
class LiveWatch:
    """Implements `har.release.Watch` for a release that runs.

    Attributes:
        serving: the place.
        limited: what the new version must hold.
        plan: the release's steps.
        reader: of the prediction log.
        seen: asks Prometheus.
        prometheus: its address; "": none is known, and the guard's own counts are all there is.
    """

    serving: Serving
    limited: Limits
    plan: Plan
    reader: PairedReader
    seen: Seen
    prometheus: str = ""
    _spans: Spans = field(default_factory=Spans)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _phase: str = ""
    _none_ready: float | None = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, thread_name_prefix="metrics"))
    _reading: Future[dict[Role, dict[str, str]]] | None = None

    def enter(self, state: State, step: Step) -> None:
        """A step begins: what was counted before does not concern it."""
        if state.phase == "keeping" and self._phase != "keeping":
            self._spans = Spans()  # what was the canary is the stable version now, and counted anew
        self._phase = state.phase
        self._look(state)
        with self._lock:
            self._spans.enter()
        self._none_ready = None

    def limits(self, state: State) -> Judged:
        """The hard limits over the step and over its last seconds."""
        gone = self._readiness(state)
        if gone is not None:
            return Judged("fail", (gone.to_json(),), reason=gone.reason)
        self._look(state)
        with self._lock:
            checks = self._spans.hard_limits(self.limited, copies=self._copies(state))
        failed = [check for check in checks if check.verdict == "fail"]
        if not failed:
            return Judged("pass")
        return Judged("fail", tuple(check.to_json() for check in failed), reason=failed[0].reason)

    def judge(self, state: State, step: Step) -> Judged:
        """The verdict about the step so far."""
        self.reader.update()
        paired = self.reader.paired(step_us=int(state.step_began * 1e6))
        silent, said = self._ask_prometheus()
        with self._lock:
            evidence = StepEvidence(
                seconds=time.time() - state.step_began,
                canary=self._spans.step("canary"),
                stable=self._spans.step("stable"),
                paired=paired,
                former=self._spans.release("stable"),
                copies=self._copies(state),
                silent=silent,
            )
        limits = replace(self.limited, dwell_s=step.dwell_s, requests=step.requests, subjects=step.subjects)
        verdict = judge(evidence, limits)
        measures = (*(check.to_json() for check in verdict.checks), said)
        return Judged(verdict.outcome, measures, verdict.missing, _reason(verdict))

    def _readiness(self, state: State) -> Check | None:
        """Whether none of its replicas has been ready for too long, although the former version's are."""
        replicas = self.serving.now().replicas or {}
        if state.phase != "step" or replicas.get("canary") or not replicas.get("stable"):
            self._none_ready = None
            return None
        now = time.monotonic()
        self._none_ready = self._none_ready or now
        seconds = now - self._none_ready
        if seconds < _NOT_READY_S:
            return None
        said = f"None of the new version's replicas has been ready for {seconds:.0f} s."
        return Check("ready", seconds, _NOT_READY_S, 0, 0, "fail", said)

    def _look(self, state: State) -> None:
        """Read counts and metrics once more. Once it serves everybody, the new version is the stable one, and alone."""
        role: Mapping[Role, Role] = {"stable": "canary"} if state.phase == "keeping" else {}
        roles: list[Role] = ["stable"] if role else ["stable", "canary"]
        counted = self.serving.counts()
        counts = {role.get(one, one): counted.get(one, Counts()) for one in roles}
        pages = {role.get(one, one): found for one, found in self._read_pages(roles).items()}
        with self._lock:
            self._spans.add(time.monotonic(), counts, pages)

    def _read_pages(self, roles: Sequence[Role]) -> dict[Role, dict[str, str]]:
        """What the replicas' metrics were a moment ago: a replica that is slow to say so delays nothing."""
        pages: dict[Role, dict[str, str]] = {}
        if self._reading is not None:
            if not self._reading.done():
                return pages
            pages = self._reading.result()
        addresses = self.serving.addresses()
        self._reading = self._pool.submit(lambda: {one: _pages(addresses.get(one, []), self._pool) for one in roles})
        return pages

    def _copies(self, state: State) -> bool:
        return state.phase == "step" and self.plan.steps[state.step].name == SHADOW

    def _ask_prometheus(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Why Prometheus lets nothing pass, and what is written down about it."""
        if not self.prometheus:
            said = "No Prometheus is known here: the guard's own counts are all there is."
            return {}, Check("prometheus", None, None, 0, 0, "pass", said).to_json()
        wanted = {address.partition("://")[2] for address in self.serving.addresses().get("canary", [])}
        try:
            lacks = wanted - self.seen(self.prometheus)
            why = f"it does not read {', '.join(sorted(lacks))} yet" if lacks else ""
        except Exception as error:  # noqa: BLE001  whatever it is: it did not answer
            lacks, why = wanted, reason(error) or type(error).__name__
        said = f"Prometheus reads {len(wanted) - len(lacks)} of {len(wanted)} replicas of the new version."
        check = Check("prometheus", len(wanted) - len(lacks), len(wanted), 0, 0, "hold" if why else "pass", said)
        return ({"Prometheus": why} if why else {}), check.to_json()


def _reason(verdict: Verdict) -> str:
    """The checks that failed; of those that all passed, the one about accuracy."""
    if verdict.outcome == "fail":
        return " ".join(verdict.reasons)
    passed = sum(check.verdict == "pass" for check in verdict.checks)
    accuracy = [check.reason for check in verdict.checks if check.name == "accuracy"]
    return " ".join([f"{passed} of {len(verdict.checks)} checks passed.", *accuracy])


def _pages(addresses: Sequence[str], pool: ThreadPoolExecutor) -> dict[str, str]:
    """`/metrics` of the replicas that answer in time."""
    import httpx

    # The replicas run on this machine, which a proxy cannot reach; certificates are not needed, and take time to load.
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False, verify=False) as client:  # noqa: S501

        def read(address: str) -> str | None:
            try:
                return client.get(f"{address}/metrics").raise_for_status().text
            except httpx.HTTPError:
                return None

        pages = dict(zip(addresses, pool.map(read, addresses), strict=True))
    return {address: page for address, page in pages.items() if page is not None}
