"""Chooses the windows of drifted days whose labels would help most, and writes the ranked list to the lake."""

from __future__ import annotations

import datetime as dt

import polars as pl

from har.lake import Lake
from har.monitoring.decisions._truth import join_labels, predictions_counted_once
from har.settings import Settings

_NEIGHBOURS = "20s"
"""One window is requested per interval this long: the others in it show the same movement."""

UNKNOWN_SHARE = 0.25
"""Share of the requests that goes to windows unlike the training data, where there are so many."""

_KEY = ["date", "subject", "session", "start"]


def request_labels(
    lake: Lake, settings: Settings, dates: tuple[dt.date, dt.date], decision_id: str, limit: int | None = None
) -> pl.DataFrame:
    """Choose windows to be labelled and write them to `lake.label_requests`, once per decision.

    `most_helpful` says which.

    Args:
        lake: predictions, samples and feedback; gets the requests.
        settings: how windows are cut; `retraining.label_requests`.
        dates: first and last day.
        decision_id: the decision that requests them; a second call with the same id returns the first call's list.
        limit: at most this many; None: `retraining.label_requests`.

    Returns:
        The rows of `lake.label_requests`, by rank from 1.
    """
    table = lake.label_requests
    earlier = table.collect(table.scan().filter(pl.col("decision_id") == decision_id).sort("rank"))
    if len(earlier):
        return earlier
    limit = settings.retraining.label_requests if limit is None else limit
    found = predictions_counted_once(lake, *dates)
    if len(found):
        found = found.join(join_labels(found, lake, settings), on=_KEY, how="anti", maintain_order="left")
    chosen = most_helpful(found).head(limit)
    requests = chosen.select(
        *_KEY,
        "end",
        "request_id",
        pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("rank"),
        "activity",
        "confidence",
        _reason(),
        pl.lit(decision_id).alias("decision_id"),
        pl.lit(dt.datetime.now(dt.UTC)).alias("asked_at"),
    ).select(lake.label_requests.schema.names())
    if len(requests):
        lake.label_requests.add(requests, ["session", "start", "decision_id"])
    return requests


def most_helpful(found: pl.DataFrame) -> pl.DataFrame:
    """Predictions in the order in which their labels would help, neighbours left out.

    Windows with the least confidence come first (uncertainty sampling by least confidence; Lewis and Gale, A Sequential
    Algorithm for Training Text Classifiers, 1994). That alone would fill the list with neighbours of one movement. So
    among windows that begin within the same 20 s only the least confident is taken, and the list alternates between
    subjects, within a subject between predicted activities, and within these between recordings.

    A model can be sure of a window that is like nothing it learned from, and uncertainty would never ask for it. So
    every fourth one is a window marked as unknown, chosen in the same way, as long as there are any.

    Args:
        found: date, subject, session, start, request_id, activity, confidence and unknown of each window.
    """
    by_confidence = ["confidence", *_KEY, "request_id"]
    places = (
        found.with_columns(pl.col("unknown").fill_null(False), pl.col("start").dt.truncate(_NEIGHBOURS).alias("place"))
        # Of neighbours, one that is unlike the training data stands for the others.
        .sort(pl.col("unknown").not_(), *by_confidence)
        .unique(["date", "subject", "session", "place"], keep="first", maintain_order=True)
        .sort(by_confidence)
    )
    unknown = _spread(places.filter("unknown"))
    usual = _spread(places.filter(~pl.col("unknown")))
    # Both lists in one, by turns of the length that the share makes; where one ends, the other goes on.
    every = round(1 / UNKNOWN_SHARE)
    turns = [
        unknown.with_columns((pl.int_range(pl.len()) * every).alias("turn")),
        usual.with_columns((pl.int_range(pl.len()) + pl.int_range(pl.len()) // (every - 1) + 1).alias("turn")),
    ]
    return pl.concat(turns).sort("turn", maintain_order=True)


def _spread(places: pl.DataFrame) -> pl.DataFrame:
    """Alternating between subjects, within a subject between activities, and within these between recordings."""
    return (
        places.pipe(_alternate, ["subject", "activity", "date", "session"])
        .pipe(_alternate, ["subject", "activity"])
        .pipe(_alternate, ["subject"])
    )


def _alternate(frame: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """The first row of every group, then the second of every group, and so on; the least confident of these first."""
    return (
        frame.with_columns(pl.int_range(pl.len()).over(group).alias("turn"))
        .sort("turn", "confidence", *_KEY, "request_id")
        .drop("turn")
    )


def _reason() -> pl.Expr:
    percent = (100 * pl.col("confidence")).round(0).cast(pl.Int32)
    sure = pl.format("The model is {} % sure of {}.", percent, "activity")
    unlike = pl.format("Unlike all that the model learned from, which is {} % sure of {}.", percent, "activity")
    return pl.when("unknown").then(unlike).otherwise(sure).alias("reason")
