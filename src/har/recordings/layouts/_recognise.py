"""Which layout a file is of, by its name and beginning."""

from __future__ import annotations

from functools import cache

from har.recordings.layouts._layout import Layout
from har.recordings.layouts._look import Look
from har.recordings.layouts._registry import find_layout, layouts

MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PAR1", "a Parquet file", "parquet"),
    (8, b".FIT", "a FIT file", "garmin-fit"),
    (0, b"MD\xfc\x03", "an Axivity .cwa file", "axivity"),
    (0, b"Device Identity", "a GENEActiv .bin file", "geneactiv"),
    (0, b"------------ Data File Created By ActiGraph", "a CSV of ActiLife", "actilife"),
)
"""First bytes, what such a file is called, and its layout, where the layout does not recognise it itself."""
_BY_OPTIONS = ("parquet",)
"""Layouts that cannot read a file without options."""


@cache
def recognisers() -> tuple[Layout, ...]:
    """The layouts whose files can be told from others, and read without options that name columns."""
    known = {name for _, _, _, name in MAGIC if name not in _BY_OPTIONS}
    return tuple(layout for layout in layouts() if layout.recognises is not None or layout.name in known)


def recognised(look: Look) -> Layout | None:
    """The layout of a file; None if none recognises it."""
    for layout in recognisers():
        if layout.recognises is not None and layout.recognises(look):
            return layout
    return next((find_layout(name) for start, magic, _, name in MAGIC if look.head[start:].startswith(magic)), None)
