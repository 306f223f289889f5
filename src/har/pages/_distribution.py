"""The chart of one feature's distribution: what the model was trained on, and what it saw on the day."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.patches import StepPatch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from har.monitoring.drift import Distribution
from har.pages import _formatting as formatting
from har.pages._charts import MUTED, SECOND, new_figure, svg

_BINS = 60
_WIDTH, _HEIGHT = 340, 150


def draw_distribution(distribution: Distribution, name: str) -> Markup:
    """The reference as an area, the day as a line, over bins of equal width; to be called inside `_charts.style`."""
    edges, reference, day = _even(distribution)
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_axes((0.03, 0.17, 0.94, 0.8))
    # `axes.stairs` would also look through every corner for the limits, which are known.
    axes.add_artist(StepPatch(reference, edges, fill=True, linewidth=0, color=MUTED, alpha=0.32, gid="reference"))
    axes.add_artist(StepPatch(day, edges, fill=False, edgecolor=SECOND, linewidth=2.2, gid="day"))
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.05 * max(reference.max(), day.max(), 1e-9)), yticks=[])
    axes.tick_params(axis="x", length=4, labelsize=11.5)
    # A label centred at an end of the axis would be cut off.
    margin = 0.06 * (edges[-1] - edges[0])
    inside = (edges[0] + margin, edges[-1] - margin)
    ticks = [
        tick
        for tick in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(edges[0], edges[-1])
        if inside[0] <= tick <= inside[1]
    ]
    axes.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    low, high = distribution.edges[0], distribution.edges[-1]
    centres = [formatting.digits(_mean(edges, row)) for row in (reference, day)]
    return svg(
        figure,
        name,
        f"Distribution of {distribution.name} from {formatting.digits(low)} to {formatting.digits(high)}: the "
        f"reference centres on {centres[0]}, this day on {centres[1]}.",
    )


def _even(distribution: Distribution) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Edges of bins of equal width, and the share of windows in each, for the reference and for the day.

    The report's bins are quantiles of the reference: some are too narrow to see, and with tied values their width is 0.
    """
    given = np.array(distribution.edges)
    if given[0] == given[-1]:  # all values are equal
        given = np.linspace(given[0] - 0.5, given[0] + 0.5, len(given))
    edges = np.linspace(given[0], given[-1], _BINS + 1)

    def shares(row: tuple[float, ...]) -> NDArray[np.float64]:
        below = np.interp(edges, given, np.concatenate(([0.0], np.cumsum(row))))
        below[0] = 0.0
        return np.diff(below)

    return edges, shares(distribution.reference), shares(distribution.day)


def _mean(edges: NDArray[np.float64], row: NDArray[np.float64]) -> float:
    centres = (edges[:-1] + edges[1:]) / 2
    return float((row * centres).sum() / (row.sum() or 1.0))
