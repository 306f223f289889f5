"""Make the tasks of the page `/label` from the label requests that are open."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from har.dataset import has_a_persons_word
from har.errors import LabelError
from har.jobs.label_page._signal import Context, context_of, drawn, microseconds
from har.labelling import PAGE_ID, Store, Task, is_shared, store_path, task_id
from har.lake import Lake
from har.project import Project
from har.settings import Settings

SHARED = 0.1
"""Share of the tasks that two people answer, so that their agreement is known."""
_GUESSES = 2
_BATCH = 256

Guesses = tuple[tuple[str, float], ...]
"""Activities with the model's confidence, the best first."""


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare_tasks`.

    Attributes:
        tasks: that are open now.
        new: those of them that were never open before.
        shared: those of them that two people answer.
        labelled: requests left out, because a person labelled the window elsewhere since.
        without_samples: requests left out, because the lake has no samples of the window: the online service answered
            it, and keeps features only.
    """

    tasks: int
    new: int
    shared: int
    labelled: int
    without_samples: int


@dataclass(frozen=True)
class Asked:
    """A label request, and the samples around its window."""

    row: dict[str, Any]
    context: Context


def prepare_tasks(project: Project, *, shared: float = SHARED) -> Prepared:
    """Let the page show the windows of the newest label request, each in its context; older tasks close.

    Args:
        project: its lake and champion; the tasks are written beside its prediction log.
        shared: share of the tasks that two people answer.

    Raises:
        LabelError: `shared` is no share.
        StorageError: the tasks cannot be written; those before stay.
    """
    if not 0 <= shared <= 1:
        raise LabelError(
            where="har labels --prepare --shared",
            expected="a share from 0 to 1",
            got=str(shared),
            remedy="0.1 lets two people answer one task in ten.",
        )
    settings, lake = project.settings, project.lake
    rows, labelled = open_requests(lake)
    asked = list(with_context(lake, settings, rows))
    guesses, version = _guesses(project, asked)
    places = _places(lake, rows)
    tasks = [_task(one, guess, version, places, settings, shared) for one, guess in zip(asked, guesses, strict=True)]
    new = Store(store_path(settings.path("journal"))).put(tasks)
    people = sum(task.people > 1 for task in tasks)
    return Prepared(len(tasks), new, people, labelled, len(rows) - len(tasks))


def open_requests(lake: Lake) -> tuple[pl.DataFrame, int]:
    """The newest request's windows that no person labelled elsewhere since, by rank; and how many were left out."""
    requests = lake.label_requests.read()
    newest = requests.filter(pl.col("asked_at") == pl.col("asked_at").max()).sort("rank")
    if newest.is_empty():
        return newest, 0
    elsewhere = pl.col("feedback_id").str.starts_with(PAGE_ID).not_() & pl.col("start").is_not_null()
    labels = lake.labels.read().filter(has_a_persons_word() & elsewhere).select("subject", "start", "end")
    overlap = pl.min_horizontal("end", "end_right") - pl.max_horizontal("start", "start_right")
    known = (
        newest.lazy()
        .join(labels.lazy(), on="subject")
        .filter(2 * overlap > pl.col("end") - pl.col("start"))
        .select("subject", "session", "start")
        .unique()
        .collect()
    )
    left = newest.join(known, on=["subject", "session", "start"], how="anti", maintain_order="left")
    return left, len(newest) - len(left)


def with_context(lake: Lake, settings: Settings, rows: pl.DataFrame) -> Iterator[Asked]:
    """Windows with the samples around them, subject-day by subject-day; those without samples are left out.

    Args:
        lake: the samples.
        settings: the channels.
        rows: date, subject, session, start and end of each window.
    """
    partitions = sorted(set(rows.select("date", "subject").rows()) & set(lake.samples.partitions()))
    columns = ["session", "time", *settings.sensors.channels]
    for (date, subject), day in lake.samples.each(None, partitions, columns):
        own = rows.filter(pl.col("date") == date, pl.col("subject") == subject)
        for row in own.iter_rows(named=True):
            context = context_of(day, row["session"], row["start"], row["end"], settings)
            if context.window.any():
                yield Asked(row, context)


def _guesses(project: Project, asked: list[Asked]) -> tuple[list[Guesses], int | None]:
    """The champion's best activities for each window, the best first; without one, what the request says."""
    said: list[Guesses] = [((str(one.row["activity"]), float(one.row["confidence"])),) for one in asked]
    champion = project.champion
    if champion is None:
        return said, None
    length = project.settings.length
    whole = [number for number, one in enumerate(asked) if one.context.window.sum() == length]
    if not whole:
        return said, champion.number
    classifier = project.classifier(champion.number)
    windows = np.stack([asked[number].context.values[asked[number].context.window] for number in whole])
    batches = (windows[first : first + _BATCH] for first in range(0, len(windows), _BATCH))
    names = classifier.metadata.activities
    for number, row in zip(whole, classifier.predict_each(batches).probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[:_GUESSES]
        said[number] = tuple((names[index], round(float(row[index]), 4)) for index in best)
    return said, champion.number


def _places(lake: Lake, rows: pl.DataFrame) -> dict[tuple[dt.date, str, str], str]:
    """Placement and device of each recording, as one sentence part."""
    partitions = rows.select("date", "subject").unique().rows()
    columns = ["date", "subject", "session", "placement", "device"]
    found = lake.recordings.read(partitions=partitions, columns=columns)
    return {
        (date, subject, session): ", ".join(word for word in (placement, device) if word)
        for date, subject, session, placement, device in found.iter_rows()
    }


def _task(
    one: Asked,
    guess: Guesses,
    version: int | None,
    places: dict[tuple[dt.date, str, str], str],
    settings: Settings,
    shared: float,
) -> Task:
    row, context = one.row, one.context
    start_us, end_us = microseconds(row["start"]), microseconds(row["end"])
    task = task_id(row["subject"], row["session"], start_us, end_us)
    return Task(
        task=task,
        subject=row["subject"],
        session=row["session"],
        date=row["date"].isoformat(),
        start_us=start_us,
        end_us=end_us,
        rank=row["rank"],
        reason=row["reason"],
        guesses=guess,
        model_version=version,
        place=places.get((row["date"], row["subject"], row["session"]), ""),
        from_us=context.from_us,
        to_us=context.to_us,
        signal=drawn(context, settings),
        people=2 if is_shared(task, shared) else 1,
    )
