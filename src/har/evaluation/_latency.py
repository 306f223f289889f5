"""How long a model file takes for one window: in wall-clock time for information, beside another model for the gate."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from har.inference import Classifier

BATCH = 32
ROUNDS = 5
_WARM_UP = 20
_BUDGET_NS = 2_000_000_000
"""Processor time after which `latency_ratio` stops early, so that a very slow model is not measured for minutes."""
_LEAST_PAIRS = 15


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


@dataclass(frozen=True)
class LatencyRatio:
    """What one window costs a model, measured side by side with another model.

    Attributes:
        against: what the other model is: the champion, or the reference network that stands in for one.
        ratio: median over the pairs of calls of the model's processor time divided by the other's.
        median_us: median processor time of the model's calls, µs.
        against_median_us: the other's, µs.
        pairs: how many pairs of calls were measured.
    """

    against: Literal["champion", "reference"]
    ratio: float
    median_us: float
    against_median_us: float
    pairs: int


def latency(classifier: Classifier, *, runs: int = 500) -> Latency:
    """Measure the wall-clock time of `classifier.predict`, validation of the window included, after a warm-up.

    Other processes on the machine lengthen these times, so they inform and decide nothing; see `latency_ratio`.

    Args:
        classifier: opened with `threads=1`, so that the figure means one thread.
        runs: calls with one window, in five rounds; the round with the lowest 99th percentile counts. Batches are
            measured for about as many windows.
    """
    batch = _noise(classifier, BATCH)
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


def latency_ratio(
    model: Classifier, other: Classifier, *, against: Literal["champion", "reference"], pairs: int = 200
) -> LatencyRatio:
    """Compare the processor time of two models for one window, in interleaved calls.

    The calls alternate, so whatever else the machine does hits both models alike, and the processor time of this thread
    leaves out the time in which it had to wait for a core. The median of the pairs' ratios ignores single disturbed
    calls. For two models of the same size it stays within 0.99 to 1.01, also beside 20 busy processes on two cores,
    where the 99th percentile of wall-clock time grows to hundreds of milliseconds.

    Args:
        model: opened with `threads=1`: other threads' time is not counted.
        other: likewise.
        against: what `other` is.
        pairs: calls of each; fewer, 15 at least, where they would take more than 2 s of processor time.
    """
    sides = [(model, _noise(model, 1)), (other, _noise(other, 1))]
    for classifier, window in sides:
        classifier.predict(window)
    taken = np.empty((pairs, 2))
    began = time.thread_time_ns()
    for pair in range(pairs):
        # Each model is the first of every other pair, so that neither gains from what the call before left in caches.
        for side in (0, 1) if pair % 2 else (1, 0):
            classifier, window = sides[side]
            start = time.thread_time_ns()
            classifier.predict(window)
            taken[pair, side] = time.thread_time_ns() - start
        if pair + 1 >= _LEAST_PAIRS and time.thread_time_ns() - began > _BUDGET_NS:
            taken = taken[: pair + 1]
            break
    median_us, against_median_us = np.median(taken, axis=0) / 1e3
    return LatencyRatio(
        against=against,
        ratio=float(np.median(taken[:, 0] / taken[:, 1])),
        median_us=float(median_us),
        against_median_us=float(against_median_us),
        pairs=len(taken),
    )


def _noise(classifier: Classifier, windows: int) -> NDArray[np.float32]:
    shape = (windows, classifier.metadata.length, len(classifier.metadata.channels))
    return np.random.default_rng(0).normal(scale=5.0, size=shape).astype(np.float32)


def _time(classifier: Classifier, window: NDArray[np.float32], runs: int) -> list[int]:
    """Nanoseconds of each call."""
    for _ in range(min(_WARM_UP, runs)):
        classifier.predict(window)
    taken = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        classifier.predict(window)
        taken.append(time.perf_counter_ns() - start)
    return taken
