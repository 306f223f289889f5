"""A feature's two distributions in, a small picture out: what the model knew, and what it saw on the day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from har.monitoring import _words as words
from har.monitoring._svg import Drawing
from har.monitoring.drift import Distribution

_WIDTH, _HEIGHT = 340.0, 168.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 8.0, 332.0, 10.0, 140.0
_NARROWEST = 1 / 60
"""Bins narrower than this share of the axis are drawn together with their neighbours: their density is noise."""


def picture(distribution: Distribution) -> Markup:
    """Reference as an area, day as a line. Heights are shares per width, since bins differ in width."""
    edges, reference, day = _merged(distribution)
    drawing = Drawing(_WIDTH, _HEIGHT)
    low, high = edges[0], edges[-1]
    span = (high - low) or 1.0
    widths = [(b - a) or span for a, b in pairwise(edges)]
    densities = [[share / width for share, width in zip(row, widths, strict=True)] for row in (reference, day)]
    top = max(max(row) for row in densities) or 1.0

    def x(value: float) -> float:
        return _LEFT + (value - low) / span * (_RIGHT - _LEFT)

    def steps(row: Sequence[float]) -> list[tuple[float, float]]:
        points = [(x(low), _BOTTOM)]
        for left, right, density in zip(edges, edges[1:], row, strict=False):
            y = _BOTTOM - density / top * (_BOTTOM - _TOP)
            points += [(x(left), y), (x(right), y)]
        return [*points, (x(high), _BOTTOM)]

    drawing.path(steps(densities[0]), "then", closed=True, title="Reference")
    drawing.path(steps(densities[1]), "now", title="This day")
    drawing.line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis")
    for value, text in _ticks(low, high):
        drawing.line(x(value), _BOTTOM, x(value), _BOTTOM + 4, "axis")
        # Centred, a label at an end would leave the picture.
        anchor = "start" if x(value) < _LEFT + 14 else "end" if x(value) > _RIGHT - 14 else "middle"
        drawing.text(x(value), _BOTTOM + 18, text, anchor=anchor)
    at = [_mean(edges, row) for row in (reference, day)]
    return drawing.svg(
        f"Distribution of {distribution.name} from {words.digits(low)} to {words.digits(high)}: the reference centres "
        f"on {words.digits(at[0])}, this day on {words.digits(at[1])}."
    )


def _merged(distribution: Distribution) -> tuple[list[float], list[float], list[float]]:
    """Edges and shares without bins that are too narrow to see."""
    least = _NARROWEST * (distribution.edges[-1] - distribution.edges[0])
    edges, shares = [distribution.edges[0]], [[0.0], [0.0]]
    for right, *new in zip(distribution.edges[1:], distribution.reference, distribution.day, strict=True):
        for row, share in zip(shares, new, strict=True):
            row[-1] += share
        if right - edges[-1] >= least:
            edges.append(right)
            for row in shares:
                row.append(0.0)
    if len(edges) == 1:  # all values alike
        edges.append(edges[0] + 1.0)
        return edges, shares[0], shares[1]
    rest = [row.pop() for row in shares]
    for row, share in zip(shares, rest, strict=True):
        row[-1] += share
    edges[-1] = distribution.edges[-1]
    return edges, shares[0], shares[1]


def _mean(edges: Sequence[float], row: Sequence[float]) -> float:
    return sum(share * (a + b) / 2 for share, a, b in zip(row, edges, edges[1:], strict=False)) / (sum(row) or 1.0)


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round values inside a range, three to six."""
    if not high > low:
        return [(low, words.digits(low))]
    raw = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw)
    places = max(0, -math.floor(math.log10(step)) + (step / size == 2.5))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [(number * step, f"{number * step:.{places}f}".replace("-", "−")) for number in range(first, last + 1)]
