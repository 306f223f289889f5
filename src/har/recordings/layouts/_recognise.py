"""Which layout a file is of, by its name and beginning."""

from __future__ import annotations

from functools import cache

from har.recordings.layouts._layout import Layout
from har.recordings.layouts._look import Look
from har.recordings.layouts._registry import layouts


@cache
def recognisers() -> tuple[Layout, ...]:
    """The layouts of this package that can tell their files from others."""
    return tuple(layout for layout in layouts() if layout.recognises is not None)


def recognised(look: Look) -> Layout | None:
    """The layout of a file; None if none recognises it."""
    return next((layout for layout in recognisers() if layout.recognises is not None and layout.recognises(look)), None)
