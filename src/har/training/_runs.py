"""How long activities last, and what follows them: learned from the labels of consecutive windows."""

from __future__ import annotations

import numpy as np

from har.inference import Runs
from har.windows import WindowSet

QUANTILE = 0.1
"""Share of an activity's runs that are shorter than its `shortest_s`."""


def learn_runs(windows: WindowSet, activities: int, *, rate_hz: float) -> Runs:
    """Durations and jumps in labelled windows.

    A run is a series of windows of one segment with the same label; unlabelled windows, such as those that a change
    falls into, are no part of the set, and a run ends before more of them than a window is long. The end of a recording
    ends a run, too: most recordings are short, and without this an activity that fills them would last for ever.

    Jumps are counted with one further observation, shared out evenly; an activity without runs gets the mean of all.

    Args:
        windows: labelled windows, those of a segment in order of time; at least one.
        activities: K, the labels are below it.
        rate_hz: samples per second.
    """
    labels, starts, segments = windows.labels.astype(np.int64), windows.starts, windows.segments
    apart = (np.diff(segments) != 0) | (np.diff(starts) > 2 * windows.length) | (np.diff(starts) <= 0)
    first = np.flatnonzero(np.concatenate(([True], apart | (np.diff(labels) != 0))))
    last = np.append(first[1:], len(labels)) - 1
    seconds = (starts[last] - starts[first] + windows.length) / rate_hz
    of = labels[first]
    follows = np.flatnonzero(~apart[first[1:] - 1])
    jumps = np.full((activities, activities), 1 / (activities - 1))
    np.add.at(jumps, (of[follows], of[follows + 1]), 1)
    np.fill_diagonal(jumps, 0)
    jumps /= jumps.sum(axis=1, keepdims=True)
    known = [seconds[of == activity] for activity in range(activities)]
    each = [found if len(found) else seconds for found in known]
    counts = np.bincount(labels, minlength=activities) + 1
    return Runs(
        mean_s=tuple(float(found.mean()) for found in each),
        shortest_s=tuple(float(np.quantile(found, QUANTILE, method="lower")) for found in each),
        jumps=tuple(tuple(row) for row in jumps.tolist()),
        prior=tuple((counts / counts.sum()).tolist()),
    )
