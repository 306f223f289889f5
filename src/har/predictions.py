"""What a model says about subject-days: samples of the lake to rows of `predictions`, and those to minutes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import cut_day
from har.errors import ModelError
from har.inference import Classifier, ModelMetadata
from har.lake import Partition
from har.settings import Settings

Parts = Iterable[tuple[Partition, pl.DataFrame]]
"""Partitions, each with the columns session, segment, time and the channels in SI units."""

FEATURES = "features"
"""Column of what `predict` hands on of the model's features; it is not stored with the predictions."""


def predict(
    parts: Parts, settings: Settings, classifier: Classifier, model_version: int, *, features: Sequence[str] = ()
) -> pl.DataFrame:
    """Predictions, one row per window, by partition, session and start.

    Args:
        parts: what to score, one partition after the other.
        settings: window, rate and channels.
        classifier: the model.
        model_version: written into every row.
        features: names of the model's features to hand on, in one more column `FEATURES`, an array of float32.

    Raises:
        ModelError: the model has no such feature.
    """
    picked = pick_features(classifier.metadata, features)
    seen = [np.empty((0, len(features)), np.float32)]
    activities = pl.Series(classifier.metadata.activities, dtype=pl.String)
    period_us = 1e6 / settings.sensors.rate_hz
    rows, found = [], [np.empty((0, len(activities)), np.float32)]
    for partition, frame in parts:
        windows, places = cut_day(partition, frame, settings, settings.sensors.channels)
        for batch in windows.batches(settings.scoring.batch_size):
            answer = classifier.predict(batch)
            found.append(answer.probabilities)
            if len(picked):
                seen.append(answer.features[:, picked])
        rows.append(places)
    probabilities = np.concatenate(found)
    confidence = probabilities.max(axis=1, initial=0)
    described = pl.Series(FEATURES, np.concatenate(seen), pl.Array(pl.Float32, len(features))) if len(picked) else None
    predictions = pl.concat(rows).with_columns(
        (pl.col("start") + pl.duration(microseconds=round(settings.length * period_us))).alias("end"),
        activities.gather(probabilities.argmax(axis=1)).alias("activity"),
        pl.Series("confidence", confidence, pl.Float32),
        pl.Series("abstained", confidence < classifier.metadata.abstain_below),
        pl.lit(model_version, pl.Int32).alias("model_version"),
        pl.lit(None, pl.String).alias("request_id"),
        *([] if described is None else [described]),
    )
    # Mostly they are in order; the features are not copied to find that out.
    key = ["date", "subject", "session", "start"]
    order = predictions.select(key).with_row_index("row").sort(key)["row"]
    return predictions if order.is_sorted() else predictions[order]


def pick_features(metadata: ModelMetadata, names: Sequence[str]) -> NDArray[np.intp]:
    """Where the named features stand among the model's, (len(names),).

    Raises:
        ModelError: it has no such feature.
    """
    places = {name: place for place, name in enumerate(metadata.feature_names)}
    for name in names:
        if name not in places:
            raise ModelError(
                where="features",
                expected=f"names among the model's {len(places)} features",
                got=repr(name),
                remedy="Name features as the model file's metadata does.",
            )
    return np.array([places[name] for name in names], np.intp)


def activity_minutes(predictions: pl.DataFrame) -> pl.DataFrame:
    """Minutes per subject and activity of one date or more, from windows that overlap.

    A window stands for the time until the next one starts, the last of a run for its whole length. Columns: date,
    subject, activity ("uncertain" where the model abstained), minutes, windows.

    Args:
        predictions: those that count, see `counted_once`.
    """
    ordered = predictions.sort("date", "subject", "session", "start")
    following = pl.col("start").shift(-1).over("date", "subject", "session")
    span = pl.min_horizontal(following, "end")
    return (
        ordered.with_columns((span - pl.col("start")).dt.total_microseconds().alias("us"))
        .with_columns(pl.when("abstained").then(pl.lit("uncertain")).otherwise("activity").alias("activity"))
        .group_by("date", "subject", "activity")
        .agg((pl.col("us").sum() / 60e6).round(3).alias("minutes"), pl.len().cast(pl.Int64).alias("windows"))
        .sort("date", "subject", "activity")
    )


def counted_once(predictions: pl.DataFrame) -> pl.DataFrame:
    """The rows that count: the nightly job's, or the online service's where a subject's day has none of those.

    The same movement may have been sent to the service and uploaded as a file; it must not be counted twice.
    """
    nightly = pl.col("request_id").is_null()
    return predictions.filter(nightly | ~nightly.any().over("date", "subject"))
