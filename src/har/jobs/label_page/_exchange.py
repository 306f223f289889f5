"""Tasks and answers as files: a CSV for tables, Label Studio's JSON for its pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from har.errors import LabelError
from har.files import write_atomically
from har.jobs._label_studio import OBJECT, configuration, region
from har.jobs.label_page._collected import rows_of
from har.jobs.label_page._prepare import Asked, open_requests, with_context
from har.jobs.label_page._signal import microseconds, thinned
from har.labelling import UNSURE, UNUSABLE, Answer, Settled, Store, Task, store_path
from har.project import Project
from har.schema import TIME
from har.settings import Settings

_POINTS = 200
"""Per channel; Label Studio wants all channels at the same times, which are those of all channels' points."""
_TABLE = pl.Schema(
    {
        "subject": pl.String(),
        "start": TIME,
        "end": TIME,
        "activity": pl.String(),
        "said": pl.String(),
        "labeller": pl.String(),
        "answered_at": TIME,
        "review": pl.String(),
        "source": pl.String(),
        "task": pl.String(),
    }
)
FORMATS = {"csv": ".csv", "label-studio": ".json"}


@dataclass(frozen=True)
class Export:
    """What was written: tasks, answers to them, and the files."""

    tasks: int
    answers: int
    files: tuple[Path, ...]


def export_answers(project: Project, path: Path, *, form: str = "") -> Export:
    """Write what people answered on the page.

    A CSV has a row per answer. Its `activity` is empty where the answer does not count: unsure, unusable, or in
    dispute; `said` has the answer. So `har labels FILE` imports what counts. Label Studio's JSON has a task per
    window, with an annotation per answer, and beside it an XML file with the labelling configuration.

    Args:
        project: its lake and the page's answers.
        path: to write.
        form: a key of `FORMATS`; "": by the file's suffix.

    Raises:
        LabelError: there is no such format.
        StorageError: the file cannot be written.
    """
    store = Store(store_path(project.settings.path("journal")))
    answers: dict[str, list[Answer]] = {}
    for answer in store.answers():
        answers.setdefault(answer.task, []).append(answer)
    tasks = [task for task in store.tasks() if task.task in answers]
    count = sum(map(len, answers.values()))
    if _form(path, form) == "csv":
        rows = [row for task in tasks for row in _rows(task, answers[task.task])]
        write_atomically(path, pl.DataFrame(rows, _TABLE, orient="row").write_csv(datetime_format="%+"))
        return Export(len(tasks), count, (path,))
    windows = pl.DataFrame(
        {
            "date": [dt.date.fromisoformat(task.date) for task in tasks],
            "subject": [task.subject for task in tasks],
            "session": [task.session for task in tasks],
            "start": [task.start_us for task in tasks],
            "end": [task.end_us for task in tasks],
            "task": [task.task for task in tasks],
        },
        {
            "date": pl.Date(),
            "subject": pl.String(),
            "session": pl.String(),
            "start": TIME,
            "end": TIME,
            "task": pl.String(),
        },
    )
    contexts = {one.row["task"]: one for one in with_context(project.lake, project.settings, windows)}
    written = [
        _studio_task(number, task, answers[task.task], contexts.get(task.task), project.settings)
        for number, task in enumerate(tasks, start=1)
    ]
    return Export(len(tasks), count, _write_studio(path, written, project.settings))


def write_tasks(project: Project, path: Path) -> Export:
    """Write the windows that labels are wanted for as tasks of Label Studio, with the model's guess for each.

    Args:
        project: its lake.
        path: to write; the labelling configuration goes beside it, as XML.

    Raises:
        StorageError: the file cannot be written.
    """
    rows, _ = open_requests(project.lake)
    written = []
    for number, one in enumerate(with_context(project.lake, project.settings, rows), start=1):
        row = one.row
        start_us, end_us = microseconds(row["start"]), microseconds(row["end"])
        guess = region(f"guess{number}", start_us, end_us, row["activity"])
        data = _data(row["subject"], row["session"], row["date"].isoformat(), row["reason"], start_us, end_us)
        data[OBJECT] = _series(one, project.settings)
        task = {
            "id": number,
            "data": data,
            "annotations": [],
            "predictions": [{"model_version": "champion", "score": row["confidence"], "result": [guess]}],
        }
        written.append(task)
    return Export(len(written), 0, _write_studio(path, written, project.settings))


def _form(path: Path, form: str) -> str:
    by_suffix = {suffix: name for name, suffix in FORMATS.items()}
    found = form or by_suffix.get(path.suffix.lower(), "")
    if found not in FORMATS:
        raise LabelError(
            where="har labels --export",
            expected=f"a file that ends with .csv or .json, or --format {' or '.join(FORMATS)}",
            got=form or path.name,
            remedy="Name the file such as labels.json for Label Studio.",
        )
    return found


def _rows(task: Task, answers: Sequence[Answer]) -> list[tuple[object, ...]]:
    settled = Settled(task.task, task.subject, 0, tuple(answers))
    reviews = {row["feedback_id"].partition("-")[2]: row["review"] for row in rows_of(settled)}
    rows: list[tuple[object, ...]] = []
    for one in answers:
        review = reviews.get(one.answer)
        counts = one.activity is not None and review != "rejected"
        start_us, end_us = (one.start_us, one.end_us) if one.activity else (task.start_us, task.end_us)
        said = one.activity or one.verdict
        activity = one.activity if counts else None
        place = (task.subject, start_us, end_us, activity)
        rows.append((*place, said, one.labeller, one.answered_us, review, one.source, task.task))
    return rows


def _studio_task(
    number: int, task: Task, answers: Sequence[Answer], context: Asked | None, settings: Settings
) -> dict[str, Any]:
    data = _data(task.subject, task.session, task.date, task.reason, task.start_us, task.end_us)
    if context is not None:
        data[OBJECT] = _series(context, settings)
    guesses = [region(f"guess{number}", task.start_us, task.end_us, name) for name, _ in task.guesses[:1]]
    version = "none" if task.model_version is None else f"version {task.model_version}"
    score = task.guesses[0][1] if task.guesses else None
    return {
        "id": number,
        "data": data,
        "annotations": [_annotation(task, answer) for answer in answers],
        "predictions": [{"model_version": version, "score": score, "result": guesses}],
    }


def _annotation(task: Task, answer: Answer) -> dict[str, Any]:
    given = dt.datetime.fromtimestamp(answer.answered_us / 1e6, dt.UTC)
    regions = []
    if answer.activity is not None and answer.start_us is not None and answer.end_us is not None:
        regions = [region(answer.answer, answer.start_us, answer.end_us, answer.activity, answer.labeller)]
    elif answer.verdict == UNUSABLE:
        regions = [region(answer.answer, task.start_us, task.end_us, UNUSABLE, answer.labeller)]
    return {
        "result": regions,
        "was_cancelled": answer.verdict == UNSURE,
        "ground_truth": False,
        "created_at": given.isoformat(),
    }


def _data(subject: str, session: str, date: str, reason: str, start_us: int, end_us: int) -> dict[str, Any]:
    start, end = (dt.datetime.fromtimestamp(time_us / 1e6, dt.UTC) for time_us in (start_us, end_us))
    return {
        "question": f"{subject}, {session}: what happens from {start:%H:%M:%S.%f} to {end:%H:%M:%S.%f} UTC?",
        "subject": subject,
        "session": session,
        "date": date,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "reason": reason,
    }


def _series(one: Asked, settings: Settings) -> dict[str, list[float]]:
    kept = thinned(one.context, settings, _POINTS)
    columns = {"time": [time_us / 1000 for time_us in one.context.times_us[kept].tolist()]}
    for column, name in enumerate(settings.sensors.channels):
        columns[name] = [round(value, 3) for value in one.context.values[kept, column].tolist()]
    return columns


def _write_studio(path: Path, tasks: Sequence[dict[str, Any]], settings: Settings) -> tuple[Path, Path]:
    beside = path.with_suffix(".xml")
    write_atomically(beside, configuration(settings))
    write_atomically(path, orjson.dumps(list(tasks)))
    return path, beside
