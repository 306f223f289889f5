"""Everything the project does, one module per verb; each runs without Prefect.

    ingest     inbox files into the lake
    train      a challenger from the lake, judged against the champion
    evaluate   cross-validation by subject
    score      predictions and profiles for what no model has scored
    summarise  minutes per activity, a table and a page per day
    collect    the online service's log into the lake
    monitor    drift reports, and what is decided on them
    label      labels that people give as a table
    package    the champion as two tried bentos
    reproduce  a registered version trained again and compared

A job takes a `har.project.Project`, its parameters and, where it has independent parts, how to run them (`Each`). It
returns a report. The `har` command calls jobs directly; a flow adds retries, artifacts and events. The modules are
imported one by one, because some of them need torch and others must start in a second.
"""

from har.jobs._each import Each, in_threads, in_turn, once
from har.jobs._events import PROMOTED, Event, Send, nobody_listens, of_decision, promotion

__all__ = [
    "PROMOTED",
    "Each",
    "Event",
    "Send",
    "in_threads",
    "in_turn",
    "nobody_listens",
    "of_decision",
    "once",
    "promotion",
]
