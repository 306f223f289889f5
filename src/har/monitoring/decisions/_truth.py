"""Stored predictions with the true activity where it is known, and intervals of figures computed from them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.dataset import told_labels, window_labels
from har.lake import Lake
from har.predictions import counted_once
from har.settings import Settings

LEAST_GROUPS = 3
"""With fewer groups, resampling them says nothing about a new one."""

_KEY = ["date", "subject", "session", "start"]


def predictions_counted_once(lake: Lake, first: dt.date, last: dt.date) -> pl.DataFrame:
    """Predictions of these dates, each movement once: the nightly job's, or else the online service's.

    Rows are sorted by date, subject, session and start.
    """
    found = lake.predictions.scan().filter(pl.col("date").is_between(first, last)).collect()
    return counted_once(found).sort(_KEY)


def join_labels(predictions: pl.DataFrame, lake: Lake, settings: Settings) -> pl.DataFrame:
    """The rows that have a label, with it as `truth`, in the same order."""
    days = predictions.select("date", "subject").unique().rows()
    online = predictions.filter(pl.col("request_id").is_not_null())
    labels = window_labels(lake, settings, partitions=days)
    if len(online):
        # The lake may hold samples of the same time, cut at other points: online windows use the feedback on them.
        feedback = told_labels(online.unique(_KEY, maintain_order=True), lake, settings)
        labels = pl.concat([feedback, labels]).unique(_KEY, keep="first", maintain_order=True)
    return predictions.join(labels.rename({"activity": "truth"}), on=_KEY, how="inner", maintain_order="left")


def bounds(
    values: NDArray[np.float64], groups: NDArray[np.str_], percentiles: tuple[float, ...], *, seed: int = 0
) -> tuple[float, ...] | None:
    """Percentiles of the mean under resampling of whole groups (cluster bootstrap); None for fewer than three."""
    names, group = np.unique(groups, return_inverse=True)
    if len(names) < LEAST_GROUPS:
        return None
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=2000)
    means = (weights @ np.bincount(group, values)) / (weights @ np.bincount(group))
    return tuple(float(value) for value in np.percentile(means, percentiles))
