"""Downsampling keeps what a person sees: ends, peaks, order; and equals the thesis's pseudocode."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from har.labelling import lttb


def by_the_book(times: NDArray[np.float64], values: NDArray[np.float64], points: int) -> list[int]:
    """Steinarsson 2013, figure 4.2, one point after the other."""
    every = (len(times) - 2) / (points - 2)
    borders = [int(bucket * every) + 1 for bucket in range(points - 1)]
    chosen = [0]
    for bucket in range(points - 2):
        after = range(borders[bucket + 1], borders[bucket + 2]) if bucket < points - 3 else [len(times) - 1]
        mean_x, mean_y = np.mean([times[i] for i in after]), np.mean([values[i] for i in after])
        x, y = times[chosen[-1]], values[chosen[-1]]
        areas = {
            i: abs((x - mean_x) * (values[i] - y) - (x - times[i]) * (mean_y - y)) / 2
            for i in range(borders[bucket], borders[bucket + 1])
        }
        chosen.append(max(areas, key=lambda i: areas[i]))
    return [*chosen, len(times) - 1]


@pytest.mark.parametrize(("count", "points"), [(1000, 50), (3128, 600), (103, 100), (5, 3), (7, 6)])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_the_algorithm_of_the_thesis(count: int, points: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.5, 1.5, count))
    values = random.normal(0, 1, count).cumsum()
    assert lttb(times, values, points).tolist() == by_the_book(times, values, points)


def test_points_are_the_signals_own_in_order_with_both_ends() -> None:
    random = np.random.default_rng(3)
    chosen = lttb(np.arange(500) * 20_000, random.normal(0, 1, 500), 60)
    assert len(chosen) == 60
    assert (chosen[0], chosen[-1]) == (0, 499)
    assert (np.diff(chosen) > 0).all()


@pytest.mark.parametrize("place", [7, 250, 498])
def test_a_single_peak_stays(place: int) -> None:
    values = np.random.default_rng(4).normal(0, 0.01, 500)
    values[place] = 9.0
    assert place in lttb(np.arange(500), values, 20)


def test_a_short_signal_stays_whole() -> None:
    assert lttb(np.arange(4), np.array([1.0, 2, 3, 4]), 9).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="points: expected at least 3"):
        lttb(np.arange(4), np.zeros(4), 2)
