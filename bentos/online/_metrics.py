"""The online service's metrics for Prometheus; BentoML's `/metrics` sums them over the workers.

Each change of a metric that workers share is a write to a memory-mapped file, 1 to 2 µs. Counting a request's windows
one by one would take several percent of its time, so requests are noted in plain Python and written several times
a second.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import compress, product
from pathlib import Path

import numpy as np
import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import mark_process_dead

from har.plausibility import CODES, NO_SIGNAL

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_MEMORY_S = 1.0
BREAKER_STATES = ("closed", "half-open", "open")
"""By the value of `har_breaker_state`."""


class Metrics:
    """One worker's counters.

    Args:
        activities: the model's classes, in their order.
        registry: where the metrics are registered.
    """

    def __init__(self, activities: tuple[str, ...], registry: CollectorRegistry) -> None:
        _forget_dead_workers()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"har_{name}", text, labels, registry=registry)

        self._requests = counter("requests", "Requests by route and status", "route", "status")
        self._seconds = Histogram(
            "har_request_seconds", "From arrival to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self._windows = counter("windows", "Windows classified")
        self._abstained = counter("abstained", "Windows with a confidence below abstain_below")
        self._unknown = counter("unknown", "Windows unlike the model's training data")
        by_activity = counter("predictions", "Windows by predicted activity, or no signal", "activity")
        self._by_activity = {activity: by_activity.labels(activity) for activity in (*activities, NO_SIGNAL)}
        self._warnings = counter("warnings", "Requests with values that are implausible in their unit", "code")
        self._confidence = Histogram(
            "har_confidence", "Largest probability of a window", buckets=_CONFIDENCE, registry=registry
        )
        self._fallback = counter("fallback", "Requests that the fallback answered", "by", "reason")
        self._breaker = Gauge(
            "har_breaker_state",
            "0 closed, 1 half-open, 2 open; the worst worker's",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._breaker.set(0)
        self._log_written = counter("log_lines", "Lines written to the prediction log")
        self._log_dropped = counter("log_dropped", "Lines that were not written", "reason")
        self._shadow = counter("shadow_windows", "Windows that the shadow model classified", "agrees")
        self._shadow_seconds = Histogram(
            "har_shadow_seconds", "Time of the shadow model's inference", buckets=_SECONDS, registry=registry
        )
        self._shadow_failed = counter("shadow_failed", "Requests that the shadow model failed on or skipped", "why")
        self._mirrored = counter("mirrored", "Copies of requests for a new version's replica, by outcome", "outcome")
        self._memory = Gauge(
            "har_memory_bytes",
            "Resident memory; the largest worker's",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._process, self._looked = psutil.Process(), 0.0
        self._model = Gauge(
            "har_model_info",
            "1 for the packaged models",
            ["role", "version", "data_version", "trained_at"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        # A series that appeared only with its first event would show no increase to alert on.
        for route, status in product(("/predict", "/predict/raw"), ("500", "503", "504")):
            self._requests.labels(route, status)
        for by in ("previous", "rule"):
            for reason in ("open", "error", "nonfinite", "deadline"):
                self._fallback.labels(by, reason)
        for reason in ("queue", "disk"):
            self._log_dropped.labels(reason)
        for agrees in ("true", "false"):
            self._shadow.labels(agrees)
        for why in ("busy", "error"):
            self._shadow_failed.labels(why)
        for code in CODES:
            self._warnings.labels(code)
        for outcome in ("answered", "refused", "fallback", "error", "skipped", "busy"):
            self._mirrored.labels(outcome)
        self._noted = _Notes()

    def model(self, role: str, version: int, data_version: str, trained_at: str) -> None:
        """Show a packaged model."""
        self._model.labels(role, str(version), data_version, trained_at).set(1)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Note an answered request; only from the event loop's thread, like `windows` and `flush`."""
        self._noted.answered[route, status] += 1
        self._noted.seconds[route].append(seconds)

    def windows(
        self, activities: list[str], confidence: list[float], abstained: list[bool], unknown: list[bool]
    ) -> None:
        """Note classified windows: each one's activity, its probability, whether it was abstained and is unknown.

        Windows without a signal are counted as such: no model was unsure of them.
        """
        for activity in activities:
            self._noted.activities[activity] += 1
        if NO_SIGNAL in activities:
            measured = [activity != NO_SIGNAL for activity in activities]
            confidence, abstained = list(compress(confidence, measured)), list(compress(abstained, measured))
        self._noted.confidence += confidence
        self._noted.abstained += sum(abstained)
        self._noted.unknown += sum(unknown)

    def warned(self, codes: Iterable[str]) -> None:
        """Count a request whose values are implausible, by the codes of its warnings."""
        for code in codes:
            self._warnings.labels(code).inc()

    def flush(self) -> None:
        """Write the noted requests to the metrics, and each second the memory."""
        if time.monotonic() - self._looked >= _MEMORY_S:
            self._looked = time.monotonic()
            self._memory.set(self._process.memory_info().rss)
        noted, self._noted = self._noted, _Notes()
        for (route, status), count in noted.answered.items():
            self._requests.labels(route, str(status)).inc(count)
        for route, seconds in noted.seconds.items():
            observe_all(self._seconds.labels(route), seconds)
        if noted.activities:
            self._windows.inc(sum(noted.activities.values()))
        if noted.confidence:
            self._abstained.inc(noted.abstained)
            self._unknown.inc(noted.unknown)
            observe_all(self._confidence, noted.confidence)
        for activity, count in noted.activities.items():
            self._by_activity[activity].inc(count)

    def fallback(self, by: str, reason: str) -> None:
        """Count a request that the fallback answered."""
        self._fallback.labels(by, reason).inc()

    def breaker(self, state: str) -> None:
        """Show the breaker's new state."""
        self._breaker.set(BREAKER_STATES.index(state))

    def log_written(self, lines: int) -> None:
        """Count lines written to the prediction log."""
        self._log_written.inc(lines)

    def log_dropped(self, reason: str, lines: int) -> None:
        """Count lines dropped because the queue or the disk was full."""
        self._log_dropped.labels(reason).inc(lines)

    def shadow(self, agreeing: int, windows: int, seconds: float) -> None:
        """Count a request that the shadow model classified."""
        self._shadow.labels("true").inc(agreeing)
        self._shadow.labels("false").inc(windows - agreeing)
        self._shadow_seconds.observe(seconds)

    def shadow_failed(self, why: str) -> None:
        """Count a request that the shadow model failed on or skipped."""
        self._shadow_failed.labels(why).inc()

    def mirrored(self, outcome: str) -> None:
        """Count a copy of a request."""
        self._mirrored.labels(outcome).inc()


class _Notes:
    """Requests since the last flush."""

    def __init__(self) -> None:
        self.answered: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.activities: defaultdict[str, int] = defaultdict(int)
        self.confidence: list[float] = []
        self.abstained = 0
        self.unknown = 0


def observe_all(histogram: Histogram, values: list[float]) -> None:
    """`observe` for many values at once, by attributes that prometheus_client does not document.

    `observe` takes 2 µs per value: 1 % of a request, which has two. A test compares both on the installed version.
    """
    places = np.searchsorted(histogram._upper_bounds, values)
    for place, count in zip(*np.unique_counts(places), strict=True):
        histogram._buckets[place].inc(int(count))
    histogram._sum.inc(sum(values))


def _forget_dead_workers() -> None:
    """Remove the gauges of killed workers, which would show an open breaker for ever."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for file in Path(folder).glob("gauge_live*_*.db") if folder else ():
        match = re.search(r"_(\d+)\.db$", file.name)
        if match and not _alive(int(match[1])):
            mark_process_dead(int(match[1]), folder)  # type: ignore[no-untyped-call]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
