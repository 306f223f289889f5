"""Counts by activity: right bins, right activities, and as they are stored."""

from __future__ import annotations

import numpy as np
import pytest

from har.errors import MonitoringError
from har.monitoring.profiles import Bins, ByActivity


def test_values_are_counted_in_the_bin_that_holds_them() -> None:
    random = np.random.default_rng(0)
    values = random.normal(0, 1, (500, 3)).astype(np.float32)
    # Edges that no float32 equals, that values lie on exactly, and that are all the same.
    edges = np.stack([np.sort(random.normal(0, 1, 5)), np.sort(values[:5, 1].astype(np.float64)), np.zeros(5)])
    values[7, 0], values[8, 2] = np.nan, np.inf
    answers = random.integers(0, 3, 500)
    found = Bins(("a", "b", "c"), edges).count(values, answers, ("run", "sit", "walk"))
    assert found.activities == ("run", "sit", "walk")
    assert found.windows == 500
    for place in range(3):
        for column in range(3):
            own = values[answers == place, column].astype(np.float64)
            own = own[np.isfinite(own)]
            expected = np.bincount(np.searchsorted(edges[column], own, "left"), minlength=6)
            assert found.counts[place, column].tolist() == expected.tolist()
            assert found.sums[place, column] == pytest.approx(own.sum(), abs=1e-3)


def test_of_many_windows_some_are_counted() -> None:
    values = np.arange(5000, dtype=np.float32)[:, None]
    found = Bins(("a",), np.array([[999.5, 2499.5]])).count(values, np.zeros(5000, int), ("walk",))
    assert found.windows == 1000
    assert found.counts[0, 0].tolist() == [200, 300, 500]


def test_counts_are_read_as_they_were_written_and_put_in_another_order() -> None:
    bins = Bins(("a", "b"), np.array([[0.0, 1.0], [0.0, 2.0]]))
    found = bins.count(np.array([[0.5, 3.0], [2.0, -1.0]], np.float32), np.array([2, 0]), ("run", "sit", "walk"))
    assert found.activities == ("run", "walk")
    again = ByActivity.from_bytes(found.to_bytes(), where="")
    assert (again.activities, again.edges_id, again.to_bytes()) == (("run", "walk"), bins.id, found.to_bytes())
    counts, sums = again.on(("walk", "swim", "run"))
    assert counts[:, 0].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert sums.tolist() == [[0.5, 3.0], [0.0, 0.0], [2.0, -1.0]]
    assert bins.id != Bins(("a", "c"), np.array([[0.0, 1.0], [0.0, 2.0]])).id
    for damaged in (found.to_bytes()[:-1], b"", b'{"activities": []}\n'):
        with pytest.raises(MonitoringError, match="har score --rescore"):
            ByActivity.from_bytes(damaged, where="lake/profiles")
    none = bins.count(np.empty((0, 2), np.float32), np.empty(0, int), ("run",))
    assert (none.activities, none.windows) == ((), 0)
    assert ByActivity.from_bytes(none.to_bytes(), where="").windows == 0
