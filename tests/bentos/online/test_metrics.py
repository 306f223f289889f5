"""Many values at once make the same histogram as one by one, on the installed version of prometheus_client."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram

from bentos.online._metrics import observe_all

BOUNDS = (0.1, 0.25, 0.5, 1.0)


@pytest.mark.parametrize("labels", [{}, {"route": "/predict"}], ids=["plain", "labelled"])
def test_observe_all_equals_observe(labels: dict[str, str]) -> None:
    values = [*BOUNDS, 0.0, 0.1000001, 1.5, 7.0, *np.random.default_rng(0).uniform(0, 2, 200).tolist()]
    samples = []
    for at_once in (True, False):
        registry = CollectorRegistry()
        histogram = Histogram("seconds", "Time", list(labels), buckets=BOUNDS, registry=registry)
        child = histogram.labels(**labels) if labels else histogram
        if at_once:
            observe_all(child, values[:100])
            observe_all(child, values[100:])
        else:
            for value in values:
                child.observe(value)
        (metric,) = registry.collect()
        samples.append({(one.name, *one.labels.items()): one.value for one in metric.samples})
    for each in samples:
        for name in [name for name in each if name[0] == "seconds_created"]:
            del each[name]
    assert samples[0] == pytest.approx(samples[1])
    assert max(samples[0].values()) >= len(values)
