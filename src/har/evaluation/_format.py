"""Shares as text: one way to write a percentage, and one for a difference of two."""

from __future__ import annotations


def percent(value: float) -> str:
    """A share, such as `85.0 %`."""
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of two shares, such as `-2.0 points`."""
    return f"{100 * value:+.1f} points"
