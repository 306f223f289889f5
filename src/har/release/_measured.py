"""The metrics of a version's replicas, as the judge reads them: pages of `/metrics` in, sums out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from prometheus_client.parser import text_string_to_metric_families

_POSTS = ("/predict", "/predict/raw")
_HISTOGRAM = "har_request_seconds_bucket"


@dataclass(frozen=True)
class Measured:
    """What a version's replicas counted; only differences (`since`) mean something, but for the memory.

    Attributes:
        answered: requests for a prediction that got an answer: status 2xx.
        failed: status 5xx, but for 503.
        refused: status 429 and 503.
        fallback: of `answered`, by the fallback.
        nonfinite: times the model returned NaN or infinity.
        warned: requests whose values are implausible in the model's units.
        windows: classified.
        seconds: of those requests, by bucket: upper bound in seconds to the number of requests within it and above the
            next lower one. The last bound is infinity.
        memory_mb: resident memory of the largest worker process; 0: not known.
    """

    answered: int = 0
    failed: int = 0
    refused: int = 0
    fallback: int = 0
    nonfinite: int = 0
    warned: int = 0
    windows: int = 0
    seconds: tuple[tuple[float, int], ...] = ()
    memory_mb: float = 0.0

    @classmethod
    def of_pages(cls, pages: Iterable[str]) -> Measured:
        """The sum over the pages of `/metrics` of some replicas, in Prometheus' text format."""
        return cls.total([cls._of(page) for page in pages])

    @classmethod
    def total(cls, parts: Iterable[Measured]) -> Measured:
        """The sum; the memory is the largest."""
        each = list(parts)
        counts = {name: sum(getattr(one, name) for one in each) for name in _COUNTS}
        memory_mb = max((one.memory_mb for one in each), default=0.0)
        seconds: dict[float, int] = {}
        for one in each:
            for bound, count in one.seconds:
                seconds[bound] = seconds.get(bound, 0) + count
        return cls(**counts, seconds=tuple(sorted(seconds.items())), memory_mb=memory_mb)

    def since(self, earlier: Measured) -> Measured:
        """What was counted after `earlier`; a replica that began anew counts from 0, as Prometheus has it."""
        if any(getattr(self, name) < getattr(earlier, name) for name in _COUNTS):
            return self
        before = dict(earlier.seconds)
        return Measured(
            **{name: getattr(self, name) - getattr(earlier, name) for name in _COUNTS},
            seconds=tuple((bound, max(0, count - before.get(bound, 0))) for bound, count in self.seconds),
            memory_mb=self.memory_mb,
        )

    @property
    def requests(self) -> int:
        """Answered, failed or refused."""
        return self.answered + self.failed + self.refused

    def quantile_s(self, share: float) -> float | None:
        """The upper bound of the bucket in which this share of the requests is reached; None without requests."""
        total = sum(count for _, count in self.seconds)
        reached = 0
        for bound, count in self.seconds:
            reached += count
            if total and reached >= share * total:
                return bound
        return None

    def slower(self, seconds: float) -> int:
        """How many requests were above the first bucket bound that is `seconds` or more."""
        bound = min((bound for bound, _ in self.seconds if bound >= seconds), default=math.inf)
        return sum(count for upper, count in self.seconds if upper > bound)

    @classmethod
    def _of(cls, page: str) -> Measured:
        counts = dict.fromkeys(_COUNTS, 0.0)
        cumulated: dict[float, float] = {}
        memory = 0.0
        for name, labels, value in _samples(page):
            if name == "har_requests_total" and labels.get("route") in _POSTS:
                kind = _kind(labels.get("status", ""))
                if kind is not None:
                    counts[kind] += value
            elif name == _HISTOGRAM and labels.get("route") in _POSTS:
                bound = float(labels["le"])
                cumulated[bound] = cumulated.get(bound, 0) + value
            elif name in _TOTALS:
                counts[_TOTALS[name]] += value
                if labels.get("reason") == "nonfinite":
                    counts["nonfinite"] += value
            elif name == "har_memory_bytes":
                memory = max(memory, value)
        ordered = sorted(cumulated.items())
        before = [0.0, *(value for _, value in ordered)]
        return cls(
            **{name: int(value) for name, value in counts.items()},
            seconds=tuple((bound, int(value - low)) for (bound, value), low in zip(ordered, before, strict=False)),
            memory_mb=memory / 2**20,
        )


_COUNTS = tuple(one.name for one in fields(Measured) if one.name not in ("seconds", "memory_mb"))
_TOTALS = {
    "har_fallback_total": "fallback",
    "har_warnings_total": "warned",
    "har_windows_total": "windows",
}


def _kind(status: str) -> str | None:
    if status in ("429", "503"):
        return "refused"
    return {"2": "answered", "5": "failed"}.get(status[:1])


def _samples(page: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample whose name begins with `har_`."""
    own = "\n".join(line for line in page.splitlines() if line.startswith("har_"))
    for family in text_string_to_metric_families(own):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
