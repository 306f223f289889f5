"""The jobs of the project, one module per verb. They run without Prefect.

    ingest     read inbox files into the lake
    train      train a challenger and compare it with the champion
    evaluate   cross-validate by subject
    tune       search the settings of training by subject
    score      write predictions and profiles of new recordings
    summarise  write minutes per activity, a table and a page per day
    baseline   write what is usual for each subject into the lake and the hot store
    rebuild    fill the hot store from the lake
    collect    read the online service's prediction log into the lake
    monitor    write drift reports and decide what to do
    label      import labels from a CSV, and take them back
    review     accept or reject feedback of the online service
    release    let a version serve step by step, watched, and take it back
    package    build the champion's two bentos and test them
    export     write labelled samples for other tools
    backup     copy all data into one file, while everything runs
    restore    bring such a file back into a project without data
    snapshot   take raw data into DVC, and bring them back
    find_gaps  list the pauses of recordings in the lake
    diagnose   say what is off about a new device
    check      find rows, files and versions that are missing
    reproduce  train a registered version again and compare its metrics

A job takes a `har.project.Project`, its parameters and, if it has independent parts, a function that runs them
(`Each`). It returns a report. The `har` command calls jobs directly; a flow adds retries, artifacts and events. Import
the modules one by one: some need torch, and others must start within a second.
"""

from har.engine import Each, in_threads, in_turn, once
from har.jobs._events import PROMOTED, Event, Send, decision_event, no_receiver, promotion_event, release_event

__all__ = [
    "PROMOTED",
    "Each",
    "Event",
    "Send",
    "decision_event",
    "in_threads",
    "in_turn",
    "no_receiver",
    "once",
    "promotion_event",
    "release_event",
]
