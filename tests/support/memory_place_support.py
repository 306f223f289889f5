"""A place that serves in memory, with a proxy's lease, and evidence that a test writes itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from har.errors import ReleaseError
from har.release import Counts, Judged, Plan, Role, Served, State, Step


@dataclass
class Place:
    """Implements `har.release.Serving`; `shares` has each share that was set, with its time."""

    stable: str = "test-project-online:v1-00000001"
    canary: str = ""
    former: str = ""
    salt: str = ""
    until: float = 0.0
    wanted: float = 0.0
    mirrored: float = 0.0
    broken: str = ""
    starts: dict[str, str] = field(default_factory=dict)
    shares: list[tuple[float, float]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    name: str = "a place in memory"

    def now(self) -> Served:
        held = time.time() < self.until
        share, mirror = (self.wanted, self.mirrored) if held else (0.0, 0.0)
        replicas: dict[Role, int] = {"stable": 1, "canary": int(bool(self.canary))}
        return Served(self.stable, self.canary, share, mirror, self.salt, self.until, replicas)

    def start(self, tag: str, *, salt: str) -> None:
        self.calls.append(f"start {tag}")
        if tag in self.starts:
            raise ReleaseError(where=tag, problem=self.starts[tag], remedy="Mend it.")
        self.canary, self.salt = tag, salt

    def share(self, share: float, *, mirror: float = 0.0, lease_s: float) -> None:
        if self.broken:
            raise ReleaseError(where=self.name, problem=self.broken, remedy="Start it.")
        if not self.canary:
            raise ReleaseError(where=self.name, problem="there is no canary", remedy="Start one.")
        if not self.shares or self.shares[-1][1] != share:
            self.shares.append((time.monotonic(), share))
        self.wanted, self.mirrored, self.until = share, mirror, time.time() + lease_s

    def withdraw(self) -> None:
        self.calls.append("withdraw")
        self.shares.append((time.monotonic(), 0.0))
        if self.former:
            self.stable, self.former = self.former, ""
        self.canary, self.wanted, self.until = "", 0.0, 0.0

    def promote(self, *, keep_former: bool = True) -> None:
        self.calls.append(f"promote {keep_former}")
        if self.canary:
            self.former, self.stable, self.canary = self.stable, self.canary, ""
        if not keep_former:
            self.former = ""

    def scale(self, replicas: int) -> None:
        self.calls.append(f"scale {replicas}")

    def counts(self) -> dict[Role, Counts]:
        return {"stable": Counts(), "canary": Counts()}

    def addresses(self) -> dict[Role, list[str]]:
        return {"stable": ["http://127.0.0.1:1"], "canary": ["http://127.0.0.1:2"] if self.canary else []}


PASSED = Judged(
    "pass",
    ({"name": "failed", "value": 0.0, "limit": 0.02, "n": 200, "subjects": 3, "verdict": "pass"},),
    reason="all held",
)


@dataclass
class Evidence:
    """Implements `har.release.Watch`: the judge says `says` by step, the guard `limit`."""

    says: dict[str, Judged] = field(default_factory=dict)
    limit: Judged = field(default_factory=lambda: Judged("pass"))
    limits_in: str = ""
    entered: list[str] = field(default_factory=list)
    slow_s: float = 0.0
    raises: Exception | None = None

    def of(self, _state: State, _plan: Plan) -> Evidence:
        return self

    def enter(self, state: State, step: Step) -> None:
        self.entered.append(f"{state.phase} {step.name}")

    def limits(self, state: State) -> Judged:
        return self.limit if not self.limits_in or state.phase == self.limits_in else Judged("pass")

    def judge(self, state: State, step: Step) -> Judged:
        time.sleep(self.slow_s)
        if self.raises is not None:
            raise self.raises
        return self.says.get(step.name, PASSED)


def eventually(check: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until it is true; without what the tests of services import."""
    give_up = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up, f"not within {timeout_s:g} s"
        time.sleep(0.01)
