"""Import labels from a CSV, and list the windows that labels are wanted for.

The CSV has the columns subject, start, end and activity. `har labels --out` writes one with the windows whose labels
would help most; a log of exercises or a diary can be another source.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import polars as pl

from har.errors import LabelError
from har.lake import Lake
from har.settings import Settings

COLUMNS = ("subject", "start", "end", "activity")
_TIME = pl.Datetime("us", "UTC")


def read_labels(path: Path, settings: Settings) -> pl.DataFrame:
    """Read labels from a CSV; rows without an activity are skipped.

    Args:
        path: a CSV with at least subject, start, end (ISO 8601; without an offset in the project's zone) and activity.
        settings: the activities and the time zone.

    Returns:
        Columns subject, start, end (UTC) and activity.

    Raises:
        LabelError: the file is no CSV or lacks a column; or a line has no valid timestamp, an end that is not after its
            start, or an unknown activity.
    """
    try:
        table = pl.read_csv(path, infer_schema=False, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LabelError(
            where=str(path), expected="a CSV with a header", got=str(error).splitlines()[0], remedy="Fix the file."
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise LabelError(
            where=str(path),
            expected=f"columns {', '.join(COLUMNS)}",
            got=f"no {', '.join(missing)}",
            remedy="Start from the file that `har labels --out FILE` writes.",
        )
    rows = table.select(COLUMNS).with_row_index("line", offset=2).with_columns(pl.col("activity").str.strip_chars())
    rows = rows.filter(pl.col("activity") != "")
    zone = settings.project.timezone
    labels = rows.with_columns(
        pl.coalesce(
            pl.col(name).str.to_datetime("%+", time_zone="UTC", strict=False),
            pl.col(name)
            .str.to_datetime(time_unit="us", strict=False)
            .dt.replace_time_zone(zone)
            .dt.convert_time_zone("UTC"),
        ).cast(_TIME)
        for name in ("start", "end")
    )
    _check(rows, labels, settings.activities.all, where=path)
    return labels.drop("line")


def _check(rows: pl.DataFrame, labels: pl.DataFrame, activities: tuple[str, ...], *, where: Path) -> None:
    """Refuse labels with an invalid time or activity; `rows` are the same lines as text."""
    remedy = "Fix the line; no label was imported from the file."
    for name in ("start", "end"):
        for line, text in rows.filter(labels[name].is_null()).select("line", name).head(1).iter_rows():
            raise LabelError(
                where=f"{where}, line {line}, {name}",
                expected="an ISO 8601 timestamp",
                got=repr(text or ""),
                remedy=remedy,
            )
    for line, start, end in rows.filter(labels["end"] <= labels["start"]).select("line", "start", "end").iter_rows():
        raise LabelError(where=f"{where}, line {line}", problem=f"end {end} is not after start {start}", remedy=remedy)
    for line, activity in rows.filter(~rows["activity"].is_in(activities)).select("line", "activity").iter_rows():
        raise LabelError(
            where=f"{where}, line {line}, activity",
            expected=f"one of {', '.join(activities)}",
            got=repr(activity),
            remedy=remedy,
        )


def add_labels(lake: Lake, labels: pl.DataFrame) -> int:
    """Add labels to `lake.labels`; a label that is there already is not added again.

    Args:
        lake: to write to.
        labels: subject, start, end (UTC) and activity.

    Returns:
        How many are new.
    """
    rows = labels.with_columns(
        pl.col("start").dt.date().alias("date"),
        pl.lit(None, pl.String).alias("request_id"),
        pl.struct(COLUMNS).map_elements(_label_id, return_dtype=pl.String).alias("feedback_id"),
        pl.lit(dt.datetime.now(dt.UTC), _TIME).alias("received_at"),
    )
    return lake.labels.add(rows.select(lake.labels.schema.names()), ["feedback_id"])


def requested_labels(lake: Lake) -> pl.DataFrame:
    """The windows of the last label request, most helpful first; the column activity is empty.

    `believed` and `confidence` are the model's answer; `session` and `date` help to find the recording.
    """
    asked = lake.label_requests.read()
    if asked.is_empty():
        return asked.select(COLUMNS)
    newest = asked.filter(pl.col("asked_at") == pl.col("asked_at").max())
    return newest.sort("rank").select(
        "subject",
        "start",
        "end",
        pl.lit("").alias("activity"),
        pl.col("activity").alias("believed"),
        "confidence",
        "session",
        "date",
        "reason",
    )


def _label_id(row: dict[str, object]) -> str:
    """The id of a label: equal for equal subject, start, end and activity."""
    return "table-" + hashlib.sha256("\n".join(str(row[name]) for name in COLUMNS).encode()).hexdigest()[:24]
