"""Downsample a signal to a number of points that look like it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def lttb(times: NDArray[Any], values: NDArray[np.floating], points: int) -> NDArray[np.int64]:
    """Choose the points that show a signal best: largest triangle three buckets.

    Steinarsson, Downsampling Time Series for Visual Representation, Master's thesis, University of Iceland, 2013,
    section 4.2. The first and the last point are kept; of each bucket between, the point that forms the largest
    triangle with the point chosen before it and the mean of the next bucket.

    Args:
        times: (n,), increasing.
        values: (n,), finite.
        points: how many to keep, at least 3.

    Returns:
        Their indices, increasing, int64 (min(n, points),).
    """
    count = len(times)
    if points < 3:
        raise ValueError(f"points: expected at least 3, but got {points}")
    if count <= points:
        return np.arange(count)
    x, y = np.asarray(times, np.float64), np.asarray(values, np.float64)
    borders = (np.arange(points - 1) * ((count - 2) / (points - 2))).astype(np.int64) + 1
    sizes = np.diff(borders)
    mean_x, mean_y = (
        np.append(np.add.reduceat(series[1:-1], borders[:-1] - 1) / sizes, series[-1]) for series in (x, y)
    )
    chosen = np.empty(points, np.int64)
    chosen[0], chosen[-1] = 0, count - 1
    last = 0
    for bucket in range(points - 2):
        first, stop = borders[bucket], borders[bucket + 1]
        # Twice the triangle's area; the factor changes no order.
        across, up = mean_x[bucket + 1] - x[last], mean_y[bucket + 1] - y[last]
        area = np.abs((x[first:stop] - x[last]) * up - (y[first:stop] - y[last]) * across)
        last = int(first + area.argmax())
        chosen[bucket + 1] = last
    return chosen
