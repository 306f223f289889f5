"""Readers for published data sets and vendor formats; each yields the recordings of a folder in named units.

Each module here without a leading underscore is one reader: it defines `LAYOUT`, and its file name is the name of the
layout (`sp_sw_har.py` reads `sp-sw-har`). Readers neither convert units nor clean; `har.importing` does both.
"""

from har.recordings._local_time import local_to_utc
from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._held.bundle import Bundle, bundle_paths, bundles
from har.recordings.layouts._layout import Layout, RawRecording, Signal, Source, sample_times
from har.recordings.layouts._look import Look
from har.recordings.layouts._names import PathPattern
from har.recordings.layouts._registry import find_layout, layouts
from har.recordings.layouts._tables.text import Rows, number_rows, text_rows

__all__ = [
    "Bundle",
    "Layout",
    "Look",
    "PathPattern",
    "RawRecording",
    "Rows",
    "Signal",
    "Source",
    "bundle_paths",
    "bundles",
    "find_layout",
    "layouts",
    "local_to_utc",
    "number_rows",
    "on_stamps_of",
    "sample_times",
    "text_rows",
]
