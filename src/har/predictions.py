"""Score samples of the lake as rows of `predictions`, and sum predictions to minutes per activity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import cut_day, signal_rule
from har.errors import ModelError, did_you_mean
from har.inference import Answers, Classifier, ModelMetadata, Smoother, Smoothing, answers_of
from har.plausibility import NO_SIGNAL
from har.schema import Partition
from har.settings import Settings

UNCERTAIN = "uncertain"
"""What `activity_minutes` calls the time for which the model abstained."""

Parts = Iterable[tuple[Partition, pl.DataFrame]]
"""Partitions, each with the columns session, segment, time and the channels in SI units."""

FEATURES = "features"
"""Column of the model's features that `predict` returns on request; it is not stored with the predictions."""


def predict(
    parts: Parts, settings: Settings, classifier: Classifier, model_version: int, *, features: Sequence[str] = ()
) -> pl.DataFrame:
    """Predictions, one row per window, sorted by date, subject, session and start.

    A window without a signal (see `har.plausibility.SignalRule`) is answered by no model: its activity is `NO_SIGNAL`,
    its confidence 0, and it is abstained. Its features, on request, are those that the model computed.

    `unknown` says whether a window is unlike the training data (`scoring.unknown_share`), `smoothed` is its activity by
    `scoring.smoothing`; both are null where the setting or the model's file does not provide for them.

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
    period_us = 1e6 / settings.sensors.rate_hz
    rule = signal_rule(settings)
    rows: list[pl.DataFrame] = []
    silent: list[NDArray[np.bool_]] = [np.empty(0, np.bool_)]
    segments: list[NDArray[np.int64]] = [np.empty(0, np.int64)]

    def batches() -> Iterator[NDArray[np.float32]]:
        past = 0
        for partition, frame in parts:
            windows, places = cut_day(partition, frame, settings, settings.sensors.channels)
            for batch in windows.batches(settings.scoring.batch_size):
                silent.append(rule.absent(batch))
                yield batch
            segments.append(past + windows.segments.astype(np.int64))
            past = int(segments[-1].max(initial=past)) + 1
            rows.append(places)

    prediction = classifier.predict_each(batches(), features=indices)
    answers = answers_of(classifier, prediction, np.concatenate(silent), unknown_share=settings.scoring.unknown_share)
    feature_column = []
    if len(indices):
        feature_column = [pl.Series(FEATURES, answers.features, pl.Array(pl.Float32, len(features)))]
    placed = pl.concat(rows)
    predictions = placed.with_columns(
        (pl.col("start") + pl.duration(microseconds=round(settings.length * period_us))).alias("end"),
        pl.Series("activity", answers.activities(classifier.metadata.activities), pl.String),
        pl.Series("confidence", answers.confidence, pl.Float32),
        pl.Series("abstained", answers.abstained),
        pl.lit(model_version, pl.Int32).alias("model_version"),
        pl.lit(None, pl.String).alias("request_id"),
        _smoothed(placed["start"], np.concatenate(segments), answers, classifier.metadata, settings),
        pl.Series("unknown", [None] * len(placed) if answers.unknown is None else answers.unknown, pl.Boolean),
        *feature_column,
    )
    # They are usually sorted already; checking that does not copy the features.
    key = ["date", "subject", "session", "start"]
    order = predictions.select(key).with_row_index("row").sort(key)["row"]
    return predictions if order.is_sorted() else predictions[order]


def _smoothed(
    starts: pl.Series, segments: NDArray[np.int64], answers: Answers, metadata: ModelMetadata, settings: Settings
) -> pl.Series:
    smoother = Smoother.of(metadata, settings.scoring.smoothing, stride=settings.stride)
    if smoother is None:
        return pl.Series("smoothed", [None] * len(starts), pl.String)
    return pl.Series("smoothed", Smoothing(smoother)(starts.to_physical().to_numpy(), segments, answers), pl.String)


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
        date, subject, activity ("uncertain" where the model abstained, `NO_SIGNAL` where nothing was measured), minutes
        and windows.
    """
    ordered = predictions.sort("date", "subject", "session", "start")
    following = pl.col("start").shift(-1).over("date", "subject", "session")
    span = pl.min_horizontal(following, "end")
    return (
        ordered.with_columns((span - pl.col("start")).dt.total_microseconds().alias("us"))
        .with_columns(
            pl.when(pl.col("abstained") & (pl.col("activity") != NO_SIGNAL))
            .then(pl.lit(UNCERTAIN))
            .otherwise("activity")
            .alias("activity")
        )
        .group_by("date", "subject", "activity")
        .agg((pl.col("us").sum() / 60e6).round(3).alias("minutes"), pl.len().cast(pl.Int64).alias("windows"))
        .sort("date", "subject", "activity")
    )


def with_signal(predictions: pl.DataFrame) -> pl.DataFrame:
    """The predictions that a model made: without the windows that have no signal."""
    return predictions.filter(pl.col("activity") != NO_SIGNAL)


def counted_once(predictions: pl.DataFrame) -> pl.DataFrame:
    """Predictions without duplicates: those of the nightly job, or of the online service on days without them.

    The same samples may have been sent to the service and uploaded as a file, and must not be counted twice.
    """
    nightly = pl.col("request_id").is_null()
    return predictions.filter(nightly | ~nightly.any().over("date", "subject"))
