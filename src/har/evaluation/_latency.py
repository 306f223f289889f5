"""How long a model file takes, measured here and now."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np

from har.inference import Classifier

BATCH = 32
ROUNDS = 5
_WARM_UP = 20


@dataclass(frozen=True)
class Latency:
    """One window's median and 99th percentile in µs, and windows per second in batches of 32."""

    p50_us: float
    p99_us: float
    batch_windows_per_s: float
    runs: int

    def to_json(self) -> dict[str, float | int]:
        """As plain values."""
        return asdict(self)


def latency(classifier: Classifier, *, runs: int = 500) -> Latency:
    """Time `classifier.predict`, checks of the window included, after a warm-up.

    Args:
        classifier: opened with `threads=1`, so that the figure means one thread.
        runs: of one window, in five rounds of which the calmest counts; batches are timed for about as many windows.
    """
    shape = (BATCH, classifier.metadata.length, len(classifier.metadata.channels))
    batch = np.random.default_rng(0).normal(scale=5.0, size=shape).astype(np.float32)
    one = np.ascontiguousarray(batch[:1])
    # A busy machine pauses any process for milliseconds; the calmest of a few rounds shows the model.
    rounds = [np.percentile(_time(classifier, one, max(1, runs // ROUNDS)), (50, 99)) for _ in range(ROUNDS)]
    batches = _time(classifier, batch, max(1, runs // BATCH))
    p50, p99 = min(rounds, key=lambda round_: float(round_[1]))
    return Latency(
        p50_us=float(p50) / 1e3,
        p99_us=float(p99) / 1e3,
        batch_windows_per_s=float(BATCH / np.median(batches) * 1e9),
        runs=runs,
    )


def _time(classifier: Classifier, window: np.ndarray[tuple[int, ...], np.dtype[np.float32]], runs: int) -> list[int]:
    """Nanoseconds of each call."""
    for _ in range(min(_WARM_UP, runs)):
        classifier.predict(window)
    taken = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        classifier.predict(window)
        taken.append(time.perf_counter_ns() - start)
    return taken
