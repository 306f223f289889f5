"""Readers of published and vendor layouts: what somebody else's folder holds, as recordings in named units.

Each file here that does not begin with an underscore is one reader: it holds a `LAYOUT`, and its name is the file's
(`sp_sw_har.py` reads `sp-sw-har`). A reader neither converts units nor cleans; `har.importing` does, for all of them.
"""

from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._layout import Found, Layout, Signal, Source, sample_times
from har.recordings.layouts._names import PathPattern
from har.recordings.layouts._registry import find_layout, layouts
from har.recordings.layouts._text import Rows, number_rows, text_rows

__all__ = [
    "Found",
    "Layout",
    "PathPattern",
    "Rows",
    "Signal",
    "Source",
    "find_layout",
    "layouts",
    "number_rows",
    "on_stamps_of",
    "sample_times",
    "text_rows",
]
