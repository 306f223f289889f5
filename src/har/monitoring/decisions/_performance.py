"""The champion's accuracy in service: stored predictions compared with the labels that have arrived."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import numpy as np
import polars as pl

from har.evaluation import bootstrap_mean
from har.lake import Lake
from har.monitoring.decisions._truth import join_labels, predictions_counted_once
from har.monitoring.drift import Performance
from har.settings import Settings


def measure_performance(
    lake: Lake,
    settings: Settings,
    *,
    date: dt.date,
    model_version: int,
    expected: float,
    seen: Collection[str],
    days: int | None = None,
) -> Performance | None:
    """The champion's accuracy on windows of the last days that have labels.

    Only subjects that it was not trained on count, since it is compared with the accuracy on held-out subjects. The
    interval is a bootstrap over subjects, or over recordings where there are fewer than three subjects.

    Args:
        lake: predictions, samples and feedback.
        settings: how windows are cut; `drift.min_windows` and `retraining.accuracy_drop`.
        date: the last day.
        model_version: the champion's; other versions' predictions are left out.
        expected: its accuracy on its held-out subjects, 0 … 1.
        seen: subjects that it was trained or calibrated on.
        days: how many days up to `date`; None: `drift.of_days`.

    Returns:
        None with fewer than `drift.min_windows` such windows, or fewer than three recordings.
    """
    first = date - dt.timedelta(days=(settings.drift.of_days if days is None else days) - 1)
    answered = predictions_counted_once(lake, first, date).filter(
        (pl.col("model_version") == model_version) & ~pl.col("subject").is_in(list(seen))
    )
    known = join_labels(answered, lake, settings) if len(answered) else answered
    if len(known) < settings.drift.min_windows:
        return None
    right = known.select(pl.col("activity") == pl.col("truth")).to_series().cast(pl.Float64).to_numpy()
    subjects = known["subject"].to_numpy().astype(str)
    recordings = known.select(pl.concat_str("date", "subject", "session", separator="/")).to_series()
    interval = bootstrap_mean(right, subjects, (97.5,)) or bootstrap_mean(
        right, recordings.to_numpy().astype(str), (97.5,)
    )
    if interval is None:
        return None
    return Performance(
        windows=len(known),
        subjects=len(np.unique(subjects)),
        accuracy=float(right.mean()),
        expected=expected,
        high=interval[0],
        dropped=bool(interval[0] < expected - settings.retraining.accuracy_drop),
        first=min(known["date"].to_list()),
        last=max(known["date"].to_list()),
        of_day=known.filter(pl.col("date") == date).height,
    )
