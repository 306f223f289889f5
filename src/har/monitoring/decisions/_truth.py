"""Stored predictions with the true activity where it is known."""

from __future__ import annotations

import datetime as dt

import polars as pl

from har.dataset import labels_from_feedback, window_labels
from har.lake import Lake
from har.predictions import counted_once, with_signal
from har.settings import Settings

_KEY = ["date", "subject", "session", "start"]
SURE = 0.8
"""A model is sure of an answer with at least this confidence."""


def predictions_counted_once(lake: Lake, first: dt.date, last: dt.date) -> pl.DataFrame:
    """Predictions of these dates, each movement once: the nightly job's, or else the online service's.

    Windows without a signal are left out: they are neither right nor wrong, and nobody can label them. Rows are sorted
    by date, subject, session and start, requests of one time by their id.
    """
    found = lake.predictions.read(partitions=lake.predictions.partitions_within("date", first, last))
    return with_signal(counted_once(found)).sort(*_KEY, "request_id")


def join_labels(predictions: pl.DataFrame, lake: Lake, settings: Settings) -> pl.DataFrame:
    """The rows that have a label, with it as `truth`, in the same order."""
    days = predictions.select("date", "subject").unique().rows()
    online = predictions.filter(pl.col("request_id").is_not_null())
    labels = window_labels(lake, settings, partitions=days)
    if len(online):
        # The lake may hold samples of the same time, cut at other points: online windows use the feedback on them.
        feedback = labels_from_feedback(online.unique(_KEY, maintain_order=True), lake, settings)
        labels = pl.concat([feedback, labels]).unique(_KEY, keep="first", maintain_order=True)
    return predictions.join(labels.rename({"activity": "truth"}), on=_KEY, how="inner", maintain_order="left")


def confident_answers(lake: Lake, windows: pl.DataFrame) -> pl.DataFrame:
    """Which of these windows a model was sure of when it answered, with its activity as `answer`.

    Args:
        lake: the predictions.
        windows: date, subject, session, start, and whatever else; each window once.
    """
    partitions = windows.select("date", "subject").unique().rows()
    confident = lake.predictions.scan(partitions=partitions).filter(pl.col("confidence") >= SURE)
    found = lake.predictions.collect(confident)
    answers = counted_once(found).select(*_KEY, pl.col("activity").alias("answer"))
    return windows.join(answers.unique(_KEY, keep="first"), on=_KEY, how="inner", maintain_order="left")
