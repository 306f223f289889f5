"""Feedback of the prediction log as rows of `lake.labels`, bounded to what the lake has predictions of.

Nobody has reviewed these rows: `har.dataset` says what they count for. A row waits, without `start` and `end`, until
the request that it names, or a prediction within the interval that it claims, is in the lake.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from har.lake import Lake, Partition
from har.schema import REJECTED, UNKNOWN_SUBJECT

KEY = ("request_id", "start")
"""Identifies a window of a request within its subject-day."""

_RECENT = (dt.timedelta(hours=1), dt.timedelta(days=7))
"""Search the requests of the time before a feedback first, because most feedback is given soon."""
_GIVE_UP = dt.timedelta(days=30)
"""Look for predictions of a claimed interval for this long after the feedback was received."""


def add_feedback(lake: Lake, feedback: pl.DataFrame, arrived: pl.Series) -> int:
    """Write new feedback, and complete waiting feedback whose request has arrived.

    Args:
        lake: `labels` is written; `requests` and `predictions` are read.
        feedback: as `har.journal.FEEDBACK`.
        arrived: ids of the requests that are new in the lake.

    Returns:
        Number of new rows.
    """

    def add() -> int:
        new = _unknown(lake, feedback).select(
            pl.coalesce(pl.col("start").dt.date(), pl.col("received_at").dt.date()).alias("date"),
            pl.col("subject").fill_null(UNKNOWN_SUBJECT),
            *(pl.lit(None, lake.labels.schema[name]).alias(name) for name in ("start", "end")),
            "activity",
            "request_id",
            "feedback_id",
            "received_at",
            pl.col("start").alias("claimed_start"),
            pl.col("end").alias("claimed_end"),
            "source",
            *(pl.lit(None, pl.String).alias(name) for name in ("batch", "review", "reviewed_by")),
        )
        waiting = waiting_feedback(lake).join(arrived.to_frame(), on="request_id", how="semi")
        about_requests = pl.concat([new.filter(pl.col("request_id").is_not_null()), waiting])
        about_intervals = new.filter(pl.col("request_id").is_null())
        placed = pl.concat([_at_requests(lake, about_requests), _within_predictions(lake, about_intervals)])
        unplaced = new.join(placed, on="feedback_id", how="anti", maintain_order="left")
        _replace(lake, moved=waiting.join(placed, on="feedback_id", how="semi"), rows=pl.concat([unplaced, placed]))
        return len(new)

    return lake.labels.step(add, whole=True)


def place_waiting(lake: Lake) -> int:
    """Bound waiting feedback about intervals to predictions that came since; returns how many rows still wait."""

    def place() -> int:
        waiting = waiting_feedback(lake)
        since = dt.datetime.now(dt.UTC) - _GIVE_UP
        claims = waiting.filter(pl.col("claimed_start").is_not_null() & (pl.col("received_at") >= since))
        placed = _within_predictions(lake, claims)
        _replace(lake, moved=claims.join(placed, on="feedback_id", how="semi"), rows=placed)
        return len(waiting) - len(placed)

    return lake.labels.step(place, whole=True)


def waiting_feedback(lake: Lake) -> pl.DataFrame:
    """The rows of `labels` without an interval; reads only subject-days that have some."""
    partitions = lake.labels.partitions_with_nulls("start")
    rows = lake.labels.read(partitions=partitions).filter(pl.col("start").is_null())
    return rows.filter(pl.col("review").ne_missing(REJECTED))


def requests_with_ids(lake: Lake, ids: pl.Series, since: Any, columns: list[str]) -> pl.DataFrame:
    """The windows of these requests.

    Args:
        lake: searched first among recent requests, then, for the ids not found, among all.
        ids: the request ids.
        since: when the first line with one of these ids was received.
        columns: to read, including request_id and received_at.
    """
    wanted = set(ids)
    found = pl.DataFrame(schema={name: lake.requests.schema[name] for name in columns})
    for first in (*(since - span for span in _RECENT), None):
        wanted -= set(found["request_id"])
        if wanted:
            rows = lake.requests.scan_within("received_at", first, None)
            rows = rows.filter(pl.col("request_id").is_in(list(wanted))).select(columns)
            found = pl.concat([found, lake.requests.collect(rows)])
    return found


def _unknown(lake: Lake, feedback: pl.DataFrame) -> pl.DataFrame:
    """Feedback that is not in the lake, once each."""
    new = feedback.unique("feedback_id", keep="first", maintain_order=True)
    if new.is_empty():
        return new
    # A line that comes twice was received once: the statistics of the other files let them be skipped.
    first, last = new["received_at"].min(), new["received_at"].max()
    known = lake.labels.collect(lake.labels.scan_within("received_at", first, last).select("feedback_id"))
    return new.join(known, on="feedback_id", how="anti", maintain_order="left")


def _replace(lake: Lake, *, moved: pl.DataFrame, rows: pl.DataFrame) -> None:
    """Write rows, in the place of those with the same ids in `moved`."""
    partitions = pl.concat([rows, moved]).select("date", "subject").unique().rows()
    if partitions:
        others = lake.labels.read(partitions=partitions).join(moved, on="feedback_id", how="anti")
        lake.labels.replace(pl.concat([others, rows]), partitions)


def _at_requests(lake: Lake, feedback: pl.DataFrame) -> pl.DataFrame:
    """Feedback whose request is in the lake, with the request's subject and the interval of its windows."""
    if feedback.is_empty():
        return feedback
    columns = ["date", "subject", *KEY, "received_at"]
    requests = requests_with_ids(lake, feedback["request_id"], feedback["received_at"].min(), columns)
    # Clients may use an id twice: choose the last request.
    requests = requests.filter(pl.col("received_at") == pl.col("received_at").max().over("request_id"))
    windows = lake.predictions.collect(
        lake.predictions.scan(partitions=requests.select("date", "subject").unique().rows())
        .filter(pl.col("request_id").is_in(requests["request_id"].unique().to_list()))
        .select("date", "subject", *KEY, "end")
    )
    places = (
        requests.join(windows, on=["date", "subject", *KEY])
        .group_by("request_id")
        .agg(pl.col("date").min(), pl.col("subject").first(), pl.col("start").min(), pl.col("end").max())
    )
    bare = feedback.drop("date", "subject", "start", "end")
    return bare.join(places, on="request_id", maintain_order="left").select(feedback.columns)


def _within_predictions(lake: Lake, claims: pl.DataFrame) -> pl.DataFrame:
    """The claims within which their subject has predictions, with the part of the interval that these cover."""
    if claims.is_empty():
        return claims
    partitions = set(lake.predictions.partitions()) & {
        day for claim in claims.iter_rows(named=True) for day in _days(claim)
    }
    windows = lake.predictions.collect(
        lake.predictions.scan(partitions=partitions)
        .filter(pl.col("start") < claims["claimed_end"].max(), pl.col("end") > claims["claimed_start"].min())
        .select("subject", pl.col("start").alias("from"), pl.col("end").alias("to"))
    )
    covered = (
        claims.lazy()
        .select("feedback_id", "subject", "claimed_start", "claimed_end")
        .join_where(
            windows.lazy(),
            pl.col("subject") == pl.col("subject_right"),
            pl.col("claimed_start") < pl.col("to"),
            pl.col("claimed_end") > pl.col("from"),
        )
        .group_by("feedback_id")
        .agg(pl.col("from").min(), pl.col("to").max())
        .collect()
    )
    return (
        claims.join(covered, on="feedback_id", maintain_order="left")
        .with_columns(
            pl.max_horizontal("claimed_start", "from").alias("start"),
            pl.min_horizontal("claimed_end", "to").alias("end"),
        )
        .with_columns(pl.col("start").dt.date().alias("date"))
        .select(claims.columns)
    )


def _days(claim: dict[str, object]) -> list[Partition]:
    """The subject-days that may hold predictions of a claim; dates of recordings are local, those of claims in UTC."""
    start, end = claim["claimed_start"], claim["claimed_end"]
    assert isinstance(start, dt.datetime)  # noqa: S101  as the table's schema says
    assert isinstance(end, dt.datetime)  # noqa: S101
    first = start.date() - dt.timedelta(days=1)
    count = (end.date() - start.date()).days + 3
    return [(first + dt.timedelta(days=number), str(claim["subject"])) for number in range(count)]
