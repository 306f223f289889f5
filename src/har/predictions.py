"""Score samples of the lake as rows of `predictions`, and sum predictions to minutes per activity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import cut_day, signal_rule
from har.errors import ModelError, did_you_mean
from har.inference import Answers, Classifier, ModelMetadata, Smoother, Smoothing, answers_of
from har.plausibility import NO_SIGNAL
from har.schema import PREDICTIONS, STREAMED, Partition
from har.settings import Settings

UNCERTAIN = "uncertain"
"""What `activity_minutes` calls the time for which the model abstained."""

Parts = Iterable[tuple[Partition, pl.DataFrame]]
"""Partitions, each with the columns session, segment, time and the channels in SI units."""

FEATURES = "features"
"""Column of the model's features that `predict` returns on request; it is not stored with the predictions."""

PROBABILITIES = "probabilities"
"""Column of the probabilities that `predict` returns on request, for `Resmoothed`; it is not stored, either."""

_WINDOW = ["date", "subject", "session", "start"]
_SMOOTHED = pl.Schema({name: PREDICTIONS[name] for name in (*_WINDOW, "smoothed")})


def predict(
    parts: Parts,
    settings: Settings,
    classifier: Classifier,
    model_version: int,
    *,
    features: Sequence[str] = (),
    in_pieces: bool = False,
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
        in_pieces: the parts are pieces of recordings that go on: `smoothed` stays null where `scoring.smoothing` is
            on, and the column `PROBABILITIES` has what `Resmoothed` needs.

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
            silent.append(rule.absent_in(windows.samples, windows.starts))
            yield from windows.batches(settings.scoring.batch_size)
            segments.append(past + windows.segments.astype(np.int64))
            past = int(segments[-1].max(initial=past)) + 1
            rows.append(places)

    prediction = classifier.predict_each(batches(), features=indices)
    answers = answers_of(classifier, prediction, np.concatenate(silent), unknown_share=settings.scoring.unknown_share)
    further = []
    if len(indices):
        further = [pl.Series(FEATURES, answers.features, pl.Array(pl.Float32, len(features)))]
    if in_pieces:
        count = len(classifier.metadata.activities)
        further.append(pl.Series(PROBABILITIES, answers.probabilities, pl.Array(pl.Float32, count)))
    placed = pl.concat(rows)
    smoother = None if in_pieces else smoother_of(classifier.metadata, settings)
    predictions = placed.with_columns(
        (pl.col("start") + pl.duration(microseconds=round(settings.length * period_us))).alias("end"),
        pl.Series("activity", answers.activities(classifier.metadata.activities), pl.String),
        pl.Series("confidence", answers.confidence, pl.Float32),
        pl.Series("abstained", answers.abstained),
        pl.lit(model_version, pl.Int32).alias("model_version"),
        pl.lit(None, pl.String).alias("request_id"),
        _smoothed(placed["start"], np.concatenate(segments), answers, smoother),
        pl.Series("unknown", [None] * len(placed) if answers.unknown is None else answers.unknown, pl.Boolean),
        *further,
    )
    # They are usually sorted already; checking that does not copy the features.
    order = predictions.select(_WINDOW).with_row_index("row").sort(_WINDOW)["row"]
    return predictions if order.is_sorted() else predictions[order]


def smoother_of(metadata: ModelMetadata, settings: Settings) -> Smoother | None:
    """The smoother that `scoring.smoothing` asks for; None: it is off, or the model's file has not learned it."""
    return Smoother.of(metadata, settings.scoring.smoothing, stride=settings.stride)


def _smoothed(starts: pl.Series, segments: NDArray[np.int64], answers: Answers, smoother: Smoother | None) -> pl.Series:
    if smoother is None:
        return pl.Series("smoothed", [None] * len(starts), pl.String)
    return pl.Series("smoothed", Smoothing(smoother)(starts.to_physical().to_numpy(), segments, answers), pl.String)


class Resmoothed:
    """Smooths predictions that come in pieces of recordings: the activities of a piece's end come with the next one.

    Args:
        smoother: not used otherwise.
        activities: of the model.
    """

    def __init__(self, smoother: Smoother, activities: Sequence[str]) -> None:
        self._smoother = smoother
        self._places = {name: place for place, name in enumerate(activities)} | {NO_SIGNAL: -1}

    def add(self, predictions: pl.DataFrame) -> pl.DataFrame:
        """Take the next piece, of `predict` with `in_pieces`; returns date, subject, session, start and smoothed.

        Only one recording goes on from a piece to the next: those that a piece with windows lacks are over.
        """
        parts = []
        groups = predictions.partition_by(_WINDOW[:3], as_dict=True, maintain_order=True)
        if groups:
            parts = [self._end(key) for key in self._smoother.runs if key not in groups]
        for key, rows in groups.items():
            unknown = rows["unknown"].fill_null(False).to_numpy()
            answers = Answers(
                rows["activity"].replace_strict(self._places, return_dtype=pl.Int64).to_numpy(),
                rows["confidence"].to_numpy(),
                rows["abstained"].to_numpy(),
                unknown,
                rows[PROBABILITIES].to_numpy(),
                np.empty((len(rows), 0), np.float32),
            )
            parts.append(self._rows(key, self._smoother.push(key, rows["start"].to_physical().to_list(), answers)))
        return pl.concat([pl.DataFrame(schema=_SMOOTHED), *parts])

    def end(self) -> pl.DataFrame:
        """What is left after the last piece."""
        return pl.concat([pl.DataFrame(schema=_SMOOTHED), *map(self._end, self._smoother.runs)])

    def _end(self, key: Any) -> pl.DataFrame:
        return self._rows(key, self._smoother.flush(key))

    def _rows(self, key: tuple[Any, ...], found: list[tuple[int, str]]) -> pl.DataFrame:
        starts, activities = ([one[place] for one in found] for place in (0, 1))
        columns = {**dict(zip(_WINDOW[:3], key, strict=True)), "start": starts, "smoothed": activities}
        return pl.DataFrame(columns, schema_overrides={"start": pl.Int64}).select(
            pl.col(name).cast(kind) for name, kind in _SMOOTHED.items()
        )


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

    A window counts for the time until the next one starts, the last before a gap for its whole length. It counts as the
    smoothed activity where there is one. What the model was uncertain of stays uncertain: smoothing takes the activity
    from the neighbours, and is no reason to be surer.

    Args:
        predictions: without duplicates, see `counted_once`.

    Returns:
        date, subject, activity ("uncertain" where the model abstained, `NO_SIGNAL` where nothing was measured),
        minutes, windows, and `unknown_minutes`: how many of the minutes are of windows unlike the training data.
    """
    ordered = predictions.sort("date", "subject", "session", "start")
    following = pl.col("start").shift(-1).over("date", "subject", "session")
    span = pl.min_horizontal(following, "end")
    return (
        ordered.with_columns((span - pl.col("start")).dt.total_microseconds().alias("us"))
        .with_columns(
            pl.when(pl.col("abstained") & (pl.col("activity") != NO_SIGNAL))
            .then(pl.lit(UNCERTAIN))
            .otherwise(pl.coalesce("smoothed", "activity"))
            .alias("activity")
        )
        .group_by("date", "subject", "activity")
        .agg(
            (pl.col("us").sum() / 60e6).round(3).alias("minutes"),
            pl.len().cast(pl.Int64).alias("windows"),
            (pl.col("us").filter(pl.col("unknown").fill_null(False)).sum() / 60e6).round(3).alias("unknown_minutes"),
        )
        .sort("date", "subject", "activity")
    )


def with_signal(predictions: pl.DataFrame) -> pl.DataFrame:
    """The predictions that a model made: without the windows that have no signal."""
    return predictions.filter(pl.col("activity") != NO_SIGNAL)


def counted_once(predictions: pl.DataFrame) -> pl.DataFrame:
    """Predictions without duplicates: those of the nightly job, or of the online service on days without them.

    The same samples may have been sent to the service and uploaded as a file, and must not be counted twice. Windows
    that were answered live are windows of the lake's own samples: each counts until the nightly job has scored that
    window, also on a day of which it has scored the morning.
    """
    nightly = pl.col("request_id").is_null()
    live = pl.col("request_id").str.starts_with(STREAMED).fill_null(False)
    scored = predictions.filter(nightly).select(_WINDOW).unique()
    kept = predictions.filter(nightly | live | ~nightly.any().over("date", "subject"))
    waiting = kept.with_row_index("_row").filter(live).join(scored, on=_WINDOW, how="anti")["_row"]
    return kept.with_row_index("_row").filter(~live | pl.col("_row").is_in(waiting.implode())).drop("_row")
