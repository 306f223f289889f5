"""The nightly job: partitions that no model has scored yet in, predictions out, a few partitions at a time.

A chunk's predictions are committed first, the profiles of what the model saw after them and its row in `scores` last; a
run that is killed in between scores the chunk again and writes the same rows.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from har.inference import Classifier
from har.lake import Lake, Partition
from har.predictions import Parts, predict
from har.settings import Settings

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
