"""Search the settings of training by subject with Optuna; held-out subjects are never looked at.

A search is a study in an SQLite file: it goes on where it ended, also after its process was killed, and several
processes can work on it. `har.jobs.tune` trains what it asks for.
"""

from har.tuning._figures import Counts, Difference, Interval, compare, count, figure, interval
from har.tuning._lines import edit, lines_of
from har.tuning._space import Space, search_space
from har.tuning._study import Study, Trial, open_study

__all__ = [
    "Counts",
    "Difference",
    "Interval",
    "Space",
    "Study",
    "Trial",
    "compare",
    "count",
    "edit",
    "figure",
    "interval",
    "lines_of",
    "open_study",
    "search_space",
]
