"""The health gate of a release: known windows, sent to the candidate beside the stable service, then to who serves.

Nothing is decided by one measured time. What counts is a wrong or missing answer, and the share of answers that the
service's own fallback gave because its model was late: the stable service is asked in turns with the candidate, so a
busy machine delays both. Latency is reported.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from infra.delivery.online.smoke import Expected, ask, client, judge, known_windows

_LEAST_LATE = 5
_LEAST_FAILED = 3
_FAILED_SHARE = 0.01
_PAUSE_S = 0.02
_SAMPLE = re.compile(r"^(har_requests_total|har_fallback_total)\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Gate:
    """How long a candidate is looked at, and what it may do.

    Attributes:
        requests: to the candidate beside the stable service, and again once it serves.
        watch_s: how long at least it is watched once it serves.
        late_share: it may leave this larger share of answers to the fallback than the stable service does.
    """

    requests: int = 200
    watch_s: float = 30.0
    late_share: float = 0.05


@dataclass
class Figures:
    """What one service answered.

    Attributes:
        asked: requests.
        failed: those without an answer, or with an error.
        late: those that the fallback answered.
        wrong: sentences about answers of another version, or with other probabilities.
        errors: sentences about the failed ones.
        seconds: time of each answer.
    """

    asked: int = 0
    failed: int = 0
    late: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """For the log of releases."""
        median, slow = np.quantile(self.seconds, [0.5, 0.95]).tolist() if self.seconds else (None, None)
        counts = {"asked": self.asked, "failed": self.failed, "late": self.late, "wrong": len(self.wrong)}
        return {**counts, "median_s": median, "p95_s": slow}


@dataclass(frozen=True)
class Traffic:
    """What a service counted: requests for predictions, those answered 5xx, and those that the fallback answered."""

    requests: float = 0.0
    failed: float = 0.0
    late: float = 0.0

    @classmethod
    def of(cls, service: httpx.Client) -> Traffic:
        """Read it from `/metrics`; a service that shows none has had no requests."""
        page = service.get("/metrics", follow_redirects=True).raise_for_status().text
        requests = failed = late = 0.0
        for name, labels, value in _SAMPLE.findall(page):
            if name == "har_fallback_total":
                late += float(value)
            elif 'route="/predict' in labels:
                requests += float(value)
                failed += float(value) if 'status="5' in labels else 0.0
        return cls(requests, failed, late)

    def since(self, before: Traffic) -> Traffic:
        """What came after `before`; a service that was started since counts from 0."""
        if self.requests < before.requests:
            return self
        return Traffic(self.requests - before.requests, self.failed - before.failed, self.late - before.late)

    def worse(self, other: Traffic, gate: Gate) -> list[str]:
        """Why these requests went worse than those of `other`."""
        problems = []
        for what, least, allowed in (("failed", _LEAST_FAILED, _FAILED_SHARE), ("late", _LEAST_LATE, gate.late_share)):
            count, share, usual = getattr(self, what), self._share(what), other._share(what)
            if count >= least and share > usual + allowed:
                problems.append(
                    f"{count:g} of {self.requests:g} requests {what} ({share:.1%}), with {usual:.1%} before it served"
                )
        return problems

    def _share(self, what: str) -> float:
        value: float = getattr(self, what)
        return value / self.requests if self.requests else 0.0


def compare(candidate: str, stable: str | None, expected: Expected, gate: Gate) -> tuple[list[str], dict[str, Any]]:
    """Ask the candidate, and the stable service in turns with it.

    Args:
        candidate: its address.
        stable: the address of the service that clients use; None: there is none yet.
        expected: of the candidate.
        gate: how often, and what counts.

    Returns:
        Why the candidate must not serve, in sentences, and the figures of both.
    """
    found = {"candidate": Figures(), "stable": Figures()}
    windows = known_windows(expected.classifier.metadata)
    with client(candidate) as new, client(stable or candidate) as old:
        for number in range(gate.requests):
            _probe(new, windows[number % len(windows)][None], expected, found["candidate"])
            if stable is not None:
                _probe(old, windows[number % len(windows)][None], None, found["stable"])
            if found["candidate"].wrong:
                break
    problems = _judge(found["candidate"], found["stable"], gate)
    return problems, {name: figures.summary() for name, figures in found.items() if figures.asked}


def watch(address: str, before: Traffic, expected: Expected, gate: Gate) -> tuple[list[str], dict[str, Any]]:
    """Ask the service that clients use, and look at what it counts, until there was enough of both.

    Args:
        address: of the service that clients use, which serves the candidate by now.
        before: what the stable service had counted.
        expected: of the candidate.
        gate: how long, and what counts.

    Returns:
        Why it must not go on serving, in sentences, and the figures.
    """
    figures, windows = Figures(), known_windows(expected.classifier.metadata)
    began = time.monotonic()
    problems: list[str] = []
    with client(address) as service:
        start = Traffic.of(service)
        while not problems and (figures.asked < gate.requests or time.monotonic() - began < gate.watch_s):
            _probe(service, windows[figures.asked % len(windows)][None], expected, figures)
            if figures.wrong or figures.failed >= _LEAST_FAILED:
                break
            if figures.asked % 50 == 0:
                problems = Traffic.of(service).since(start).worse(before, gate)
            time.sleep(_PAUSE_S)
        problems = problems or _judge(figures, Figures(), gate)
        result: dict[str, Any] = {"watched": figures.summary()}
        if not problems:
            traffic = Traffic.of(service).since(start)
            problems = traffic.worse(before, gate)
            result["traffic"] = vars(traffic)
    return problems, result


def _probe(service: httpx.Client, windows: Any, expected: Expected | None, figures: Figures) -> None:
    figures.asked += 1
    began = time.perf_counter()
    try:
        answer = ask(service, windows)
        answer.raise_for_status()
        content = answer.json()
        late = bool(content["fallback"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        figures.failed += 1
        figures.errors.append(f"{type(error).__name__}: {error}".splitlines()[0][:200])
        return
    figures.seconds.append(time.perf_counter() - began)
    figures.late += late
    if expected is not None and not late:
        problem = judge(content, expected, expected.answers(windows))
        if problem:
            figures.wrong.append(problem)


def _judge(candidate: Figures, stable: Figures, gate: Gate) -> list[str]:
    problems = []
    if candidate.wrong:
        problems.append(candidate.wrong[0])
    if candidate.failed:
        problems.append(f"{candidate.failed} of {candidate.asked} requests failed: {candidate.errors[0]}")
    usual = stable.late / stable.asked if stable.asked else 0.0
    if candidate.late >= _LEAST_LATE and candidate.late / candidate.asked > usual + gate.late_share:
        problems.append(
            f"its fallback answered {candidate.late} of {candidate.asked} requests, because the model failed or was "
            f"late (of the stable service's: {usual:.1%})"
        )
    return problems
