"""What people say was done when in, labels of the lake out: the way of labels that come as a table, not by the service.

A table has the columns subject, start, end and activity; `har labels` writes one with the windows whose labels would
help most, and a log of exercises or a diary is one as well.
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


def read_answers(path: Path, settings: Settings) -> pl.DataFrame:
    """Read a CSV of answers; rows without an activity are questions nobody has answered, and left out.

    Args:
        path: a CSV with at least subject, start, end (ISO 8601; without an offset in the project's zone) and activity.
        settings: the activities there are, and the time zone.

    Returns:
        Columns subject, start, end (UTC) and activity.

    Raises:
        LabelError: no table, a column missing; or, by line, a stamp that is none, an end before its start, or an
            activity that the project does not know.
    """
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LabelError(
            where=str(path), expected="a CSV with a header", got=str(error).splitlines()[0], remedy="Mend the file."
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise LabelError(
            where=str(path),
            expected=f"columns {', '.join(COLUMNS)}",
            got=f"no {', '.join(missing)}",
            remedy="Start from what har labels --out FILE writes.",
        )
    answers = table.select(COLUMNS).with_row_index("line", offset=2).filter(pl.col("activity").str.strip_chars() != "")
    zone = settings.project.timezone
    answers = answers.with_columns(
        pl.col("activity").str.strip_chars(),
        *(
            pl.coalesce(
                pl.col(name).str.to_datetime("%+", time_zone="UTC", strict=False),
                pl.col(name)
                .str.to_datetime(time_unit="us", strict=False)
                .dt.replace_time_zone(zone)
                .dt.convert_time_zone("UTC"),
            ).cast(_TIME)
            for name in ("start", "end")
        ),
    )
    faults = (
        (pl.col("start").is_null() | pl.col("end").is_null(), "start and end as ISO 8601 stamps", "another text"),
        (pl.col("end") <= pl.col("start"), "an end after the start", "none"),
        (~pl.col("activity").is_in(list(settings.activities.all)), f"one of {', '.join(settings.activities.all)}", ""),
    )
    for fault, expected, got in faults:
        bad = answers.filter(fault)
        if len(bad):
            raise LabelError(
                where=f"{path}, line {bad['line'][0]}",
                expected=expected,
                got=got or repr(bad["activity"][0]),
                remedy="Mend the line; nothing was taken from the file.",
            )
    return answers.drop("line")


def add_labels(lake: Lake, answers: pl.DataFrame) -> int:
    """Bring answers into `lake.labels`; the same answer again adds nothing.

    Args:
        lake: gets them.
        answers: subject, start, end (UTC) and activity.

    Returns:
        How many are new.
    """
    rows = answers.with_columns(
        pl.col("start").dt.date().alias("date"),
        pl.lit(None, pl.String).alias("request_id"),
        pl.struct(COLUMNS).map_elements(_name, return_dtype=pl.String).alias("feedback_id"),
        pl.lit(dt.datetime.now(dt.UTC), _TIME).alias("received_at"),
    )
    return lake.labels.add(rows.select(lake.labels.schema.names()), ["feedback_id"])


def open_questions(lake: Lake) -> pl.DataFrame:
    """The windows that labels were asked for last, best first: subject, start, end, activity (empty) and what is known.

    `believed` and `confidence` are the model's; `session` and `date` help to find the recording.
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


def _name(row: dict[str, object]) -> str:
    """An answer's own name: the same words at the same time about the same subject are the same answer."""
    return "table-" + hashlib.sha256("\n".join(str(row[name]) for name in COLUMNS).encode()).hexdigest()[:24]
