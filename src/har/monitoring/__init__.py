"""What the model sees in service, and what is done about it: profiles, drift reports and decisions.

`har.monitoring.profiles`, `.drift` and `.decisions` hold the rest.
"""

from har.monitoring._index import render_index
from har.monitoring._loop import LoopDay, loop_table, render_loop
from har.monitoring._pages import write_pages
from har.monitoring._report import render_day
from har.monitoring.decisions import DecisionLog
from har.monitoring.drift import DriftReports
from har.monitoring.profiles import Profiler, Profiles

__all__ = [
    "DecisionLog",
    "DriftReports",
    "LoopDay",
    "Profiler",
    "Profiles",
    "loop_table",
    "render_day",
    "render_index",
    "render_loop",
    "write_pages",
]
