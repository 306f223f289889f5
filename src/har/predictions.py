"""Score samples of the lake as rows of `predictions`, and sum predictions to minutes per activity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import cut_day
from har.errors import ModelError, did_you_mean
from har.inference import Classifier, ModelMetadata
from har.lake import Partition
from har.settings import Settings

Parts = Iterable[tuple[Partition, pl.DataFrame]]
"""Partitions, each with the columns session, segment, time and the channels in SI units."""

FEATURES = "features"
"""Column of the model's features that `predict` returns on request; it is not stored with the predictions."""


def predict(
    parts: Parts, settings: Settings, classifier: Classifier, model_version: int, *, features: Sequence[str] = ()
) -> pl.DataFrame:
    """Predictions, one row per window, sorted by date, subject, session and start.

    Args:
        parts: the partitions to score.
        settings: windows, rate and channels.
        classifier: the model.
        model_version: written into every row.
        features: names of features to return in one more column, `FEATURES`, an array of float32.

    Raises:
        ModelError: the model has no such feature.
    """
    indices = feature_indices(classifier.metadata, features)
    activities = pl.Series(classifier.metadata.activities, dtype=pl.String)
    period_us = 1e6 / settings.sensors.rate_hz
    rows: list[pl.DataFrame] = []

    def batches() -> Iterator[NDArray[np.float32]]:
        for partition, frame in parts:
            windows, places = cut_day(partition, frame, settings, settings.sensors.channels)
            yield from windows.batches(settings.scoring.batch_size)
            rows.append(places)

    probabilities, values = classifier.predict_each(batches(), features=indices)
    confidence = probabilities.max(axis=1, initial=0)
    feature_column = []
    if len(indices):
        feature_column = [pl.Series(FEATURES, values, pl.Array(pl.Float32, len(features)))]
    predictions = pl.concat(rows).with_columns(
        (pl.col("start") + pl.duration(microseconds=round(settings.length * period_us))).alias("end"),
        activities.gather(probabilities.argmax(axis=1)).alias("activity"),
        pl.Series("confidence", confidence, pl.Float32),
        pl.Series("abstained", confidence < classifier.metadata.abstain_below),
        pl.lit(model_version, pl.Int32).alias("model_version"),
        pl.lit(None, pl.String).alias("request_id"),
        *feature_column,
    )
    # They are usually sorted already; checking that does not copy the features.
    key = ["date", "subject", "session", "start"]
    order = predictions.select(key).with_row_index("row").sort(key)["row"]
    return predictions if order.is_sorted() else predictions[order]


def feature_indices(metadata: ModelMetadata, names: Sequence[str]) -> NDArray[np.intp]:
    """Indices of the named features among the model's, (len(names),).

    Raises:
        ModelError: the model has no such feature.
    """
    indices = {name: index for index, name in enumerate(metadata.feature_names)}
    for name in names:
        if name not in indices:
            raise ModelError(
                where="features",
                expected=f"names among the model's {len(indices)} features",
                got=repr(name),
                remedy=did_you_mean(name, indices) or "The model file's metadata lists the names of its features.",
            )
    return np.array([indices[name] for name in names], np.intp)


def activity_minutes(predictions: pl.DataFrame) -> pl.DataFrame:
    """Minutes per date, subject and activity, from windows that may overlap.

    A window counts for the time until the next one starts, the last before a gap for its whole length.

    Args:
        predictions: without duplicates, see `counted_once`.

    Returns:
        date, subject, activity ("uncertain" where the model abstained), minutes and windows.
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
    """Predictions without duplicates: those of the nightly job, or of the online service on days without them.

    The same samples may have been sent to the service and uploaded as a file, and must not be counted twice.
    """
    nightly = pl.col("request_id").is_null()
    return predictions.filter(nightly | ~nightly.any().over("date", "subject"))
