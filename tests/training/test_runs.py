"""How long activities last, learned from labelled windows."""

from __future__ import annotations

import numpy as np
import pytest

from har.training import learn_runs
from har.windows import WindowSet, cut

RATE = 10.0


def labelled(*recordings: list[tuple[int, float]]) -> WindowSet:
    """Windows of 2 s every second from recordings of (activity, seconds); -1: unlabelled, which is left out."""
    labels, segments = [], []
    for number, runs in enumerate(recordings):
        for activity, seconds in runs:
            labels += [activity] * round(seconds * RATE)
            segments += [number] * round(seconds * RATE)
    windows = cut(
        np.zeros((len(labels), 1), np.float32),
        np.array(segments),
        length=20,
        stride=10,
        labels=np.array(labels),
        purity=0.6,
    )
    return windows.select(windows.labels >= 0)


def test_durations_and_what_follows() -> None:
    runs = learn_runs(labelled([(0, 10), (1, 20), (0, 30)], [(0, 8), (2, 12)]), 3, rate_hz=RATE)
    # The two of three windows that a change falls into equally have no majority of 60 %.
    assert runs.mean_s == pytest.approx((16.0, 20.0, 12.0), abs=0.7)
    assert runs.shortest_s[0] == pytest.approx(8, abs=0.5)
    # After 0 came 1 and 2, once each, and one further observation is shared out.
    assert runs.jumps[0] == pytest.approx((0, 0.5, 0.5))
    assert runs.jumps[1] == pytest.approx((1.5 / 2, 0, 0.5 / 2))
    assert runs.jumps[2] == pytest.approx((0.5, 0.5, 0))
    assert np.sum(runs.jumps, axis=1) == pytest.approx(1)


def test_the_end_of_a_recording_ends_a_run_and_is_no_jump() -> None:
    runs = learn_runs(labelled([(0, 10)], [(1, 14)], [(0, 12)]), 2, rate_hz=RATE)
    assert runs.mean_s == pytest.approx((11, 14))
    assert runs.jumps == ((0, 1), (1, 0))


def test_unlabelled_time_ends_a_run() -> None:
    runs = learn_runs(labelled([(0, 10), (-1, 30), (0, 10)]), 2, rate_hz=RATE)
    assert runs.mean_s[0] == pytest.approx(10, abs=1)


def test_an_activity_without_windows_gets_the_mean_of_all() -> None:
    runs = learn_runs(labelled([(0, 10), (1, 20)]), 3, rate_hz=RATE)
    assert runs.mean_s[2] == pytest.approx(np.mean(runs.mean_s[:2]))
    assert min(runs.prior) > 0
    assert sum(runs.prior) == pytest.approx(1)
