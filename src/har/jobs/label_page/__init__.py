"""Behind the page `/label`: its tasks out of the lake, its answers into the lake, and both as files."""

from har.jobs.label_page._collected import Collected, collect_answers
from har.jobs.label_page._exchange import Export, export_answers, write_tasks
from har.jobs.label_page._prepare import Prepared, prepare_tasks

__all__ = [
    "Collected",
    "Export",
    "Prepared",
    "collect_answers",
    "export_answers",
    "prepare_tasks",
    "write_tasks",
]
