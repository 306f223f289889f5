"""The nightly job: partitions that no model has scored yet in, predictions out, a few partitions at a time.

A chunk's predictions are committed first, the profiles of what the model saw after them and its row in `scores` last; a
run that is killed in between scores the chunk again and writes the same rows.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.dataset import matrix, run_ids
from har.errors import ModelError
from har.inference import Classifier, ModelMetadata
from har.lake import Lake, Partition
from har.settings import Settings
from har.windows import cut

Parts = Iterable[tuple[Partition, pl.DataFrame]]
"""Partitions, each with the columns session, segment, time and the channels in SI units."""

FEATURES = "features"
"""Column of what `predict` hands on of the model's features; it is not stored with the predictions."""

CHUNK_SAMPLES = 2_500_000
"""Samples scored between two commits, about: a second of work on one core, against 12 ms of Prefect's overhead."""


class Keeper(Protocol):
    """Keeps what the model saw: a `har.monitoring.Profiler`, which this module does not know."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it wants to see."""

    def __call__(self, partitions: Sequence[Partition], predictions: pl.DataFrame) -> None:
        """Take all predictions of these partitions, with the column `FEATURES`."""


@dataclass(frozen=True)
class Chunk:
    """Partitions of one commit, with what each was made from."""

    partitions: tuple[Partition, ...]
    contents: tuple[str, ...]
    samples: int


@dataclass(frozen=True)
class ChunkReport:
    """What scoring one chunk did."""

    partitions: int
    windows: int
    seconds: float


def pending(
    lake: Lake,
    model_version: int,
    *,
    date: dt.date | None = None,
    rescore: bool = False,
    profiled: Container[Partition] | None = None,
) -> dict[Partition, str]:
    """Partitions to score, with their content: those no model has scored as they are now.

    Args:
        lake: where samples and scores are.
        model_version: the champion's.
        date: this date only; None: all.
        rescore: also those that another version scored, after a promotion or a rollback, and those without a profile.
        profiled: partitions that have one; None: nobody wants any.
    """
    scored = {
        (when, subject): (content, version)
        for when, subject, content, version in lake.scores.read(
            columns=["date", "subject", "content", "model_version"]
        ).iter_rows()
    }
    wanted = {}
    for partition, content in lake.contents().items():
        known, version = scored.get(partition, ("", -1))
        complete = version == model_version and (profiled is None or partition in profiled)
        fresh = known == content and (complete or not rescore)
        if not fresh and date in (None, partition[0]):
            wanted[partition] = content
    return dict(sorted(wanted.items()))


def plan(lake: Lake, wanted: dict[Partition, str], *, limit: int = CHUNK_SAMPLES) -> list[Chunk]:
    """Group partitions into chunks of about `limit` samples; a larger partition is a chunk of its own."""
    rows = lake.recordings.read(columns=["date", "subject", "samples"]).group_by("date", "subject").sum()
    sizes: dict[Partition, int] = {(date, subject): samples for date, subject, samples in rows.iter_rows()}
    chunks: list[Chunk] = []
    group: list[Partition] = []
    total = 0

    def close() -> None:
        if group:
            chunks.append(Chunk(tuple(group), tuple(wanted[partition] for partition in group), total))

    for partition in wanted:
        size = sizes.get(partition, 0)
        if group and total + size > limit:
            close()
            group, total = [], 0
        group.append(partition)
        total += size
    close()
    return chunks


def score_chunk(
    lake: Lake,
    settings: Settings,
    classifier: Classifier,
    model_version: int,
    chunk: Chunk,
    *,
    elsewhere: Callable[[Parts], pl.DataFrame] | None = None,
    keeper: Keeper | None = None,
) -> ChunkReport:
    """Score a chunk's partitions and write predictions, profiles and scores; what the online service predicted stays.

    Args:
        lake: where samples are read and predictions written.
        settings: window, rate and channels.
        classifier: the model.
        model_version: its version.
        chunk: what to score.
        elsewhere: predicts in place of `classifier`, as `predict` with the keeper's features would: a service with the
            same model.
        keeper: writes what the model saw; None: nobody does.
    """
    began = time.perf_counter()
    samples_version = lake.samples.version()
    columns = ["session", "segment", "time", *lake.channels]
    parts = lake.samples.each(samples_version, chunk.partitions, columns)
    features = keeper.features if keeper else ()
    found = elsewhere(parts) if elsewhere else predict(parts, settings, classifier, model_version, features=features)
    predictions = found.select(lake.predictions.schema.names())
    lake.predictions.replace(predictions, chunk.partitions, keep="request_id")
    if keeper:
        keeper(chunk.partitions, found)
    counts: dict[Partition, int] = {
        (date, subject): count for date, subject, count in predictions.group_by("date", "subject").len().iter_rows()
    }
    windows = len(predictions)
    seconds = time.perf_counter() - began
    scores = pl.DataFrame(
        {
            "date": [date for date, _ in chunk.partitions],
            "subject": [subject for _, subject in chunk.partitions],
            "model_version": model_version,
            "content": chunk.contents,
            "samples_version": samples_version,
            "windows": [counts.get(partition, 0) for partition in chunk.partitions],
            "seconds": [seconds * counts.get(partition, 0) / max(1, windows) for partition in chunk.partitions],
            "scored_at": dt.datetime.now(dt.UTC),
        },
        schema_overrides=dict(lake.scores.schema),
    )
    lake.scores.replace(scores, chunk.partitions)
    return ChunkReport(len(chunk.partitions), windows, time.perf_counter() - began)


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
    for (date, subject), frame in parts:
        frame, runs = _in_runs(frame)
        samples = matrix(frame, settings.sensors.channels)
        windows = cut(samples, runs, length=settings.length, stride=settings.stride)
        for first in range(0, len(windows), settings.scoring.batch_size):
            batch = windows.batch(slice(first, first + settings.scoring.batch_size))
            answer = classifier.predict(batch)
            found.append(answer.probabilities)
            if len(picked):
                seen.append(answer.features[:, picked])
        starts = frame.select(
            pl.lit(date, pl.Date).alias("date"),
            pl.lit(subject).alias("subject"),
            "session",
            pl.col("time").alias("start"),
        )
        rows.append(starts[windows.starts])
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


def _in_runs(frame: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int32]]:
    """The samples with every segment in one piece and in order of time, and the number of each sample's segment.

    The table hands them over so as a rule: a look at where segments begin mostly replaces the sort.
    """
    runs = run_ids(frame)
    changed = np.diff(runs) > 0
    forward = np.diff(frame["time"].to_physical().to_numpy()) > 0
    heads = np.flatnonzero(np.append(True, changed)[: len(frame)])
    if (forward | changed).all() and frame.select("session", "segment")[heads].is_unique().all():
        return frame, runs
    frame = frame.sort("session", "time")
    return frame, run_ids(frame)


def summarise(predictions: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Minutes per subject and activity of one date or more, from windows that overlap.

    A window stands for the time until the next one starts, the last of a run for its whole length. Columns: date,
    subject, activity ("uncertain" where the model abstained), minutes, windows. Only rows that count are read.
    """
    ordered = of_record(predictions).sort("date", "subject", "session", "start")
    following = pl.col("start").shift(-1).over("date", "subject", "session")
    own = pl.min_horizontal(following, "end")
    return (
        ordered.with_columns((own - pl.col("start")).dt.total_microseconds().alias("us"))
        .with_columns(pl.when("abstained").then(pl.lit("uncertain")).otherwise("activity").alias("activity"))
        .group_by("date", "subject", "activity")
        .agg((pl.col("us").sum() / 60e6).round(3).alias("minutes"), pl.len().cast(pl.Int64).alias("windows"))
        .sort("date", "subject", "activity")
    )


def of_record(predictions: pl.DataFrame) -> pl.DataFrame:
    """The rows that count: the nightly job's, or the online service's where a subject's day has none of those.

    The same movement may have been sent to the service and uploaded as a file; it must not be counted twice.
    """
    nightly = pl.col("request_id").is_null()
    return predictions.filter(nightly | ~nightly.any().over("date", "subject"))
