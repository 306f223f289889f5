"""Every HTML page of the library, and the charts on them."""

from har.pages._activity import render_activity
from har.pages._board import Curve, FigureBox, amount, render_board, sections
from har.pages._day import render_day
from har.pages._drift import write_pages
from har.pages._evaluation import render_report, write_report
from har.pages._history import Move, render_index
from har.pages._index import write_index
from har.pages._loop import LoopDay, loop_table, render_loop
from har.pages._release import Answers, page_of, render_release, write_release
from har.pages._summaries import summaries
from har.pages._tuning import write_tuning

__all__ = [
    "Answers",
    "Curve",
    "FigureBox",
    "LoopDay",
    "Move",
    "amount",
    "loop_table",
    "page_of",
    "render_activity",
    "render_board",
    "render_day",
    "render_index",
    "render_loop",
    "render_release",
    "render_report",
    "sections",
    "summaries",
    "write_index",
    "write_pages",
    "write_release",
    "write_report",
    "write_tuning",
]
