"""What a release is judged by, and what the judge says: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from har.release._measured import Measured
from har.release._paired import Paired
from har.release._serving import Counts
from har.settings import Settings

Outcome = Literal["pass", "fail", "hold"]
"""`hold`: there is not enough evidence."""

SURE = 0.05
"""Chance that evidence of a version that is worse by more than the margin passes: one-sided, of the quality checks."""


@dataclass(frozen=True)
class Check:
    """One question about a version.

    Attributes:
        name: of the check, such as "failed".
        value: what was found; None: nothing could be.
        limit: what `value` was held against; None where there is none.
        n: observations behind the value: requests, or windows.
        subjects: behind the value; 0 where the check knows no subjects.
        verdict: "hold" where there is not enough evidence.
        reason: a sentence with the figures.
    """

    name: str
    value: float | None
    limit: float | None
    n: int
    subjects: int
    verdict: Outcome
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Verdict:
    """What follows from a step's evidence.

    Attributes:
        outcome: "fail" if any check failed, "pass" if all passed, else "hold".
        checks: all of them, the hard limits first.
        missing: what is missing for a verdict, a sentence each; empty unless `outcome` is "hold".
    """

    outcome: Outcome
    checks: tuple[Check, ...]
    missing: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """A sentence per check that failed; else per check."""
        failed = [check.reason for check in self.checks if check.verdict == "fail"]
        return failed or [check.reason for check in self.checks]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        checks = [check.to_json() for check in self.checks]
        return {"outcome": self.outcome, "checks": checks, "missing": list(self.missing)}


@dataclass(frozen=True)
class Side:
    """What one version did in a span of time.

    Attributes:
        counts: differences of what `Serving.counts` says at the end and at the begin; memory and in_flight at the end.
        measured: differences of its replicas' metrics; None: they did not answer.
        began_mb: memory of its largest replica at the begin of the span; 0: not known.
    """

    counts: Counts = field(default_factory=Counts)
    measured: Measured | None = None
    began_mb: float = 0.0

    @property
    def memory_mb(self) -> float:
        """Of its largest replica, at the end of the span; 0: not known."""
        return self.counts.memory_mb or (self.measured.memory_mb if self.measured is not None else 0.0)


@dataclass(frozen=True)
class Limits:
    """What a version must hold, from `[release]` in `har.toml`.

    Attributes:
        dwell_s, requests, subjects: least evidence of a step.
        margin: how far its accuracy may be below the former version's.
        risk: chance that a version as good as the former one is taken back.
        failed_share: of its requests; also of refused ones and of answers by the fallback.
        slow_ratio: p99 of its answers, as a multiple of the former version's.
        disagreement: share of the held-out windows on which the two versions answered differently when the gate
            compared them; None: not known.
    """

    dwell_s: float = 300.0
    requests: int = 200
    subjects: int = 3
    margin: float = 0.05
    risk: float = 0.01
    failed_share: float = 0.02
    slow_ratio: float = 3.0
    disagreement: float | None = None

    @classmethod
    def of(cls, settings: Settings, *, disagreement: float | None = None) -> Limits:
        """The project's limits."""
        chosen = settings.release
        names = ("dwell_s", "requests", "subjects", "margin", "risk", "failed_share", "slow_ratio")
        return cls(**{name: getattr(chosen, name) for name in names}, disagreement=disagreement)


@dataclass(frozen=True)
class StepEvidence:
    """What is known about a version when a step is judged.

    Attributes:
        seconds: since the step began.
        canary, stable: what both versions did since then. In step 0 the canary's requests are copies of the stable
            version's.
        former: what the stable version did since the release began: p99 is held against it once the stable version
            has no requests any more.
        paired: windows that both versions answered, since the release began: evidence of earlier steps counts.
        copies: whether the canary only gets copies of the stable version's requests: step 0.
        silent: sources that should have answered and did not, with the reason, such as {"Prometheus": "refused …"}.
    """

    seconds: float
    canary: Side
    stable: Side
    paired: Paired
    former: Side | None = None
    copies: bool = False
    silent: Mapping[str, str] = field(default_factory=dict)
