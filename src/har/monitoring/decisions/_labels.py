"""Predictions of drifted days in, a ranked list of the windows out whose labels would help most."""

from __future__ import annotations

import datetime as dt

import polars as pl

from har.lake import Lake
from har.monitoring.decisions._truth import predictions_of_record, with_truth
from har.settings import Settings

_NEIGHBOURS = "20s"
"""Of windows this close together one is asked for: the others show the same movement."""

_KEY = ["date", "subject", "session", "start"]


def ask(
    lake: Lake, settings: Settings, dates: tuple[dt.date, dt.date], decision_id: str, limit: int | None = None
) -> pl.DataFrame:
    """Choose windows to be labelled and write them to `lake.label_requests`, once per decision.

    The model is least sure of the windows with the least confidence (uncertainty sampling by least confidence; Lewis
    and Gale, A Sequential Algorithm for Training Text Classifiers, 1994). Taken alone, that would fill the list with
    neighbours of one movement. So of those that begin within the same 20 s the least sure one stands for all; subjects
    take turns, within a subject the activities that the model believes in, and within these the recordings.

    Args:
        lake: predictions, samples and feedback; gets the requests.
        settings: how windows are cut; `retraining.label_requests`.
        dates: first and last day.
        decision_id: whose request it is; asked again under the same one, the list is the one that was made first.
        limit: so many at most; None: `retraining.label_requests`.

    Returns:
        The rows of `lake.label_requests`, by rank from 1.
    """
    asked = lake.label_requests.scan().filter(pl.col("decision_id") == decision_id).sort("rank").collect()
    if len(asked):
        return asked
    limit = settings.retraining.label_requests if limit is None else limit
    found = predictions_of_record(lake, *dates)
    if len(found):
        found = found.join(with_truth(found, lake, settings), on=_KEY, how="anti", maintain_order="left")
    sure = ["confidence", "date", "subject", "session", "start"]
    chosen = (
        found.sort(sure)
        .with_columns(pl.col("start").dt.truncate(_NEIGHBOURS).alias("place"))
        .unique(["date", "subject", "session", "place"], keep="first", maintain_order=True)
        .pipe(_turns, ["subject", "activity", "date", "session"])
        .pipe(_turns, ["subject", "activity"])
        .pipe(_turns, ["subject"])
        .head(limit)
    )
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


def _turns(frame: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """The first of every group, then the second of every group, and so on; within a turn the least sure first."""
    return (
        frame.with_columns(pl.int_range(pl.len()).over(group).alias("turn"))
        .sort("turn", "confidence", *_KEY)
        .drop("turn")
    )


def _reason() -> pl.Expr:
    sure = (100 * pl.col("confidence")).round(0).cast(pl.Int32)
    return pl.format("The model is {} % sure of {}.", sure, "activity").alias("reason")
