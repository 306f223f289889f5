"""The nightly job: what no model has scored yet, scored by the champion, a few subject-days at a time.

A chunk's predictions are committed first, the profiles of what the model saw after them and its row in `scores` last; a
run that is killed in between scores the chunk again and writes the same rows.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from har.console import track
from har.errors import SettingsError
from har.inference import Classifier
from har.jobs._each import Each, in_threads, once
from har.jobs.summarise import summarise
from har.lake import Lake, Partition
from har.monitoring import Profiler, merge_old, profiled_by
from har.predictions import Parts, predict
from har.project import Project
from har.settings import Settings

CHUNK_SAMPLES = 2_500_000
"""Samples scored between two commits, about: a second of work on one core, against 12 ms of Prefect's overhead."""


class WindowObserver(Protocol):
    """Sees the windows that the model saw, such as a `har.monitoring.Profiler`."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it wants to see."""

    def __call__(self, partitions: Sequence[Partition], predictions: pl.DataFrame) -> None:
        """Take all predictions of these partitions, with the column `FEATURES`."""


class Service(Protocol):
    """A running service with the same model, which predicts in place of this process; can be pickled."""

    def require_champion(self) -> None:
        """Refuse a service that serves another version, or windows that are cut otherwise."""

    def predict(self, parts: Parts) -> pl.DataFrame:
        """What `har.predictions.predict` gives for these partitions."""


Connect = Callable[[Settings, int, tuple[str, ...]], Service]
"""From settings, the champion's version and the features to send back: the service at `scoring.service`."""


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


@dataclass(frozen=True)
class ScorePart:
    """A chunk, and what scores it."""

    project: Project
    model_version: int
    chunk: Chunk
    service: Service | None = None

    def __str__(self) -> str:
        return f"{self.chunk.partitions[0][0]} ({self.chunk.samples} samples)"


@dataclass(frozen=True)
class ScoreReport:
    """What a run of `score` did."""

    model_version: int
    samples_version: int
    days: int
    partitions: int
    windows: int
    seconds: float
    summaries: tuple[Path, ...] = ()


def score(
    project: Project,
    *,
    date: dt.date | None = None,
    rescore: bool = False,
    each: Each = in_threads,
    connect: Connect | None = None,
) -> ScoreReport:
    """Score what is new by the champion, write predictions and profiles, then each changed day's summary.

    Args:
        project: its champion scores.
        date: this date only; None: every date with something to score.
        rescore: also what another version than the champion scored, and what has no profile.
        each: how to run the chunks.
        connect: reaches the batch service that `scoring.service` names.

    Raises:
        NoChampionError: nothing serves yet.
        ModelMismatchError: the champion, or the service, was made for other settings.
        SettingsError: `scoring.service` is set, and nobody can reach it from here.
    """
    began = time.perf_counter()
    lake, settings = project.lake, project.settings
    champion = project.registry.champion()
    project.classifier(champion.number)  # refuses a model made for other settings before anything is read
    profiler = _profiler(project, champion.number)
    service = None
    if settings.scoring.service:
        if connect is None:
            raise SettingsError(
                where="scoring.service",
                expected="no service where the job runs without a client of it",
                got=settings.scoring.service,
                remedy="Run `har score`, or clear scoring.service in har.toml.",
            )
        service = connect(settings, champion.number, profiler.features if profiler else ())
        once(each, require_champion, service)
    samples_version = lake.samples.version()
    profiled = profiled_by(lake, champion.number) if profiler else None
    wanted = pending(lake, champion.number, date=date, rescore=rescore, profiled=profiled)
    chunks = chunks_to_score(lake, wanted)
    parts = [ScorePart(project, champion.number, chunk, service) for chunk in chunks]
    reports = list(track(each(score_part, parts), "Scoring", total=len(parts), unit="chunks"))
    if profiler and chunks:
        once(each, merge_profiles, project)
    summaries = summarise(project, each=each)
    return ScoreReport(
        model_version=champion.number,
        samples_version=samples_version,
        days=len({when for chunk in chunks for when, _ in chunk.partitions}),
        partitions=sum(done.partitions for done in reports),
        windows=sum(done.windows for done in reports),
        seconds=time.perf_counter() - began,
        summaries=summaries,
    )


def score_part(part: ScorePart) -> ChunkReport:
    """Score some partitions, here or by the service, profile what the model saw, and commit both."""
    project = part.project
    return score_chunk(
        project.lake,
        project.settings,
        project.classifier(part.model_version),
        part.model_version,
        part.chunk,
        predictor=part.service.predict if part.service else None,
        observer=_profiler(project, part.model_version),
    )


def require_champion(service: Service) -> None:
    """Refuse a batch service that does not serve the champion."""
    service.require_champion()


def merge_profiles(project: Project) -> int:
    """Merge the profiles of days long past."""
    return merge_old(project.lake, project.settings)


def _profiler(project: Project, version: int) -> Profiler | None:
    """What profiles this version's windows; None where monitoring is off."""
    if not project.settings.monitoring.enabled:
        return None
    names = project.classifier(version).metadata.feature_names
    return Profiler(project.lake, project.settings, names, version)


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


def chunks_to_score(lake: Lake, wanted: dict[Partition, str], *, limit: int = CHUNK_SAMPLES) -> list[Chunk]:
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
    predictor: Callable[[Parts], pl.DataFrame] | None = None,
    observer: WindowObserver | None = None,
) -> ChunkReport:
    """Score a chunk's partitions and write predictions, profiles and scores; what the online service predicted stays.

    Args:
        lake: where samples are read and predictions written.
        settings: window, rate and channels.
        classifier: the model.
        model_version: its version.
        chunk: what to score.
        predictor: predicts in place of `classifier`, as `predict` with the observer's features would: a service with
            the same model.
        observer: sees the windows that the model saw; None: nobody does.
    """
    began = time.perf_counter()
    samples_version = lake.samples.version()
    columns = ["session", "segment", "time", *lake.channels]
    parts = lake.samples.each(samples_version, chunk.partitions, columns)
    features = observer.features if observer else ()
    found = predictor(parts) if predictor else predict(parts, settings, classifier, model_version, features=features)
    predictions = found.select(lake.predictions.schema.names())
    lake.predictions.replace(predictions, chunk.partitions, keep="request_id")
    if observer:
        observer(chunk.partitions, found)
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
