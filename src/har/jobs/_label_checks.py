"""Labels held against the recordings of a lake: whom they are about, and when."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from har.dataset import days_around
from har.errors import LabelError, did_you_mean
from har.jobs._label_table import Fault, refuse
from har.lake import Lake

_LISTED = 8
_FORM = "%Y-%m-%d %H:%M:%S"


def require_recordings(lake: Lake, labels: pl.DataFrame, path: Path) -> tuple[int, ...]:
    """Refuse labels that are about nobody, or about times at which a subject was never recorded.

    A diary may tell of more than was recorded; but if none of a subject's labels lies within a recording, then their
    dates or offsets are wrong.

    Args:
        lake: its samples, and the windows that the online service answered.
        labels: as `read_labels` returns them.
        path: the file that they are from.

    Returns:
        The lines of labels within which nothing was recorded.

    Raises:
        LabelError: a subject is not in the lake, or none of its labels is within a recording.
    """
    known = sorted(
        {subject for table in (lake.samples, lake.predictions) for _, subject in table.partitions() if subject}
    )
    if not known:
        raise LabelError(
            where=str(path),
            expected="labels of recordings that are in the lake",
            got="an empty lake",
            remedy="Ingest the recordings first: har ingest.",
        )
    listed = f"{', '.join(known[:_LISTED])}{f', … ({len(known)} in all)' if len(known) > _LISTED else ''}"
    strangers = labels.filter(~pl.col("subject").is_in(known))
    refuse(
        [
            Fault(
                line,
                "subject",
                expected=f"a subject of the lake ({listed})",
                got=repr(subject),
                remedy=did_you_mean(subject, known) or "`har ingest` first, if the recordings wait in the inbox.",
            )
            for line, subject in strangers.select("line", "subject").iter_rows()
        ],
        path,
    )
    recorded = _recorded(lake, labels)
    recorded_subjects = {subject for subject, count in zip(labels["subject"], recorded.counts, strict=True) if count}
    faults, outside = [], []
    for (line, subject, start, end, _), count in zip(labels.iter_rows(), recorded.counts, strict=True):
        if count:
            continue
        outside.append(line)
        if subject in recorded_subjects:
            continue
        spans = recorded.spans.get(subject)
        near = "it was not on the days of these labels"
        if spans:
            near = f"it was from {spans[0]:{_FORM}} to {spans[1]:{_FORM}} UTC"
        faults.append(
            Fault(
                line,
                "start",
                expected=f"an interval in which {subject} was recorded ({near})",
                got=f"{start:{_FORM}} to {end:{_FORM}} UTC",
                remedy="Check the date and the offset; times without an offset are in project.timezone.",
            )
        )
    refuse(faults, path)
    return tuple(outside)


@dataclass(frozen=True)
class _Recorded:
    """How many samples and windows of the service each label's interval has; and the recorded time of each subject."""

    counts: list[int]
    spans: dict[str, tuple[dt.datetime, dt.datetime]]


def _recorded(lake: Lake, labels: pl.DataFrame) -> _Recorded:
    starts, ends = (labels[name].to_physical().to_numpy() for name in ("start", "end"))
    counts = np.zeros(len(labels), np.int64)
    spans: dict[str, tuple[dt.datetime, dt.datetime]] = {}
    subjects = labels["subject"].to_numpy()
    days = days_around(labels)

    def count(subject: str, first: pl.Series, last: pl.Series) -> None:
        """Of what lasts from `first` up to `last`, each sorted, how much overlaps each interval."""
        own = np.flatnonzero(subjects == subject)
        begun = np.searchsorted(first.to_physical().to_numpy(), ends[own], side="left")
        over = np.searchsorted(last.to_physical().to_numpy(), starts[own], side="left")
        counts[own] += np.maximum(0, begun - over)
        earliest, latest = first[0], last[-1]
        known = spans.get(subject, (earliest, latest))
        spans[subject] = (min(known[0], earliest), max(known[1], latest))

    for (_, subject), frame in lake.samples.each(None, sorted(days & set(lake.samples.partitions())), ["time"]):
        if len(frame):
            times = frame["time"].sort()
            count(subject, times, times)
    answered = lake.predictions.read(
        partitions=days & set(lake.predictions.partitions()), columns=["subject", "start", "end"]
    )
    for (subject,), group in answered.group_by("subject"):
        count(str(subject), group["start"].sort(), group["end"].sort())
    return _Recorded(counts.tolist(), spans)


def overlapping(labels: pl.DataFrame) -> int:
    """How many rows overlap a later line about the same subject that names another activity."""
    pairs = labels.lazy().join_where(
        labels.lazy(),
        pl.col("subject") == pl.col("subject_right"),
        pl.col("start") < pl.col("end_right"),
        pl.col("end") > pl.col("start_right"),
        pl.col("line") < pl.col("line_right"),
    )
    found = pairs.filter(pl.col("activity") != pl.col("activity_right")).select(pl.col("line").n_unique()).collect()
    return int(found.item())
