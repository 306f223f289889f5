"""Score new recordings with the champion, in chunks of a few subject-days.

A chunk's predictions are committed first, then the profiles of its windows, then its row in `scores`. After a run that
was killed in between, the next one scores the chunk again and writes the same rows.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import polars as pl

from har.console import console, track
from har.engine import Each, engine_of, once, workers_of
from har.errors import HarError, SettingsError
from har.inference import Classifier
from har.jobs._reference import own_bins
from har.jobs.baseline import baseline
from har.jobs.maintain import upkeep
from har.jobs.summarise import summarise
from har.lake import Lake, Partition, require_samples, to_score_again
from har.monitoring import Profiler, Profiles
from har.monitoring.profiles import require_whylogs
from har.predictions import Parts, predict, with_signal
from har.project import Project
from har.settings import Settings

CHUNK_SAMPLES = 2_500_000
"""Approximate number of samples between two commits: one second of work on a core (Prefect adds 12 ms)."""
LEAST_SAMPLES = 1_000_000
"""A chunk with less costs more for its commits than a further worker gains."""


class WindowObserver(Protocol):
    """Gets the windows that were scored, such as a `har.monitoring.Profiler`."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it needs."""

    def __call__(self, partitions: Sequence[Partition], predictions: pl.DataFrame) -> None:
        """Process all predictions of these partitions, with the column `FEATURES`."""


class Service(Protocol):
    """A running service with the same model that predicts in place of this process; can be pickled."""

    @property
    def required(self) -> bool:
        """False: what it cannot predict is predicted in this process."""

    def require_champion(self) -> None:
        """Raise if the service has another version or cuts windows differently."""

    def predict(self, parts: Parts) -> pl.DataFrame:
        """Predict these partitions, as `har.predictions.predict` would."""


Connect = Callable[[Settings, int, tuple[str, ...]], Service | None]
"""Given settings, the champion's version and the features to return: the service at `scoring.service`, or another one
that has the champion; None: there is none."""


@dataclass(frozen=True)
class Chunk:
    """Partitions of one commit, and the content id of each."""

    partitions: tuple[Partition, ...]
    contents: tuple[str, ...]
    samples: int


@dataclass(frozen=True)
class ChunkReport:
    """The result of scoring one chunk."""

    partitions: int
    windows: int
    seconds: float
    without_signal: int = 0


@dataclass(frozen=True)
class ScorePart:
    """A chunk, and the model version or service that scores it."""

    project: Project
    model_version: int
    chunk: Chunk
    service: Service | None = None

    def __str__(self) -> str:
        return f"{self.chunk.partitions[0][0]} ({self.chunk.samples} samples)"

    @property
    def size(self) -> int:
        """Samples to score."""
        return self.chunk.samples


@dataclass(frozen=True)
class ScoreReport:
    """The result of `score`; `without_signal` counts the windows, among all, of which a sensor was off or stuck."""

    model_version: int
    samples_version: int
    days: int
    partitions: int
    windows: int
    seconds: float
    summaries: tuple[Path, ...] = ()
    without_signal: int = 0


def score(
    project: Project,
    *,
    date: dt.date | None = None,
    rescore: bool = False,
    each: Each | None = None,
    connect: Connect | None = None,
) -> ScoreReport:
    """Score new recordings with the champion; write predictions, profiles, baselines, and the summary of changed days.

    Args:
        project: its champion and lake.
        date: this date only; None: all dates.
        rescore: also partitions that another version scored, and those without a profile.
        each: how to run the chunks; by default the project's engine.
        connect: connects to the batch service at `scoring.service`, or to one that is there for the taking.

    Raises:
        NoChampionError: there is no champion yet.
        NotEnoughDataError: the lake has no samples.
        ModelMismatchError: the champion or the service was made for other settings.
        SettingsError: `scoring.service` is set, but `connect` is not given.
    """
    began = time.perf_counter()
    lake, settings = project.lake, project.settings
    each = each or engine_of(settings)
    champion = project.registry.champion()
    lake.require_samples()
    project.classifier(champion.number)  # fails early if the model was made for other settings
    profiler = _profiler(project, champion.number)
    service = None
    if connect is not None:
        service = connect(settings, champion.number, profiler.features if profiler else ())
        if service is not None and service.required:
            once(each, require_champion, service)
    elif settings.scoring.service:
        raise SettingsError(
            where="scoring.service",
            expected="an empty value where the job runs without a client of the service",
            got=settings.scoring.service,
            remedy="Run `har score`, or clear scoring.service in har.toml.",
        )
    samples_version = lake.samples.version()
    needed = profiler is not None and rescore
    profiled = Profiles(lake).done(champion.number, settings.monitoring.keep_days) if needed else None
    wanted = pending(lake, champion.number, date=date, rescore=rescore, profiled=profiled)
    require_samples(lake, wanted)
    chunks = chunks_to_score(lake, wanted, workers=workers_of(settings))
    if profiler and chunks:
        require_whylogs()  # before long work; importing it takes a second
    parts = [ScorePart(project, champion.number, chunk, service) for chunk in chunks]
    reports = list(track(each(score_part, parts), "Scoring", total=len(parts), unit="chunks"))
    if profiler and chunks:
        once(each, remove_old_profiles, project)
    summaries = summarise(project, each=each)
    once(each, baseline, project)
    if chunks:
        once(each, upkeep, project)
    serving = project.registry.champion().number
    if serving != champion.number:
        console.print(
            f"[yellow]Version {serving} serves since this run began, and {champion.number} scored: to score the same "
            "days with the new champion, har score --rescore.[/]",
            highlight=False,
        )
    return ScoreReport(
        model_version=champion.number,
        samples_version=samples_version,
        days=len({when for chunk in chunks for when, _ in chunk.partitions}),
        partitions=sum(done.partitions for done in reports),
        windows=sum(done.windows for done in reports),
        seconds=time.perf_counter() - began,
        summaries=summaries,
        without_signal=sum(done.without_signal for done in reports),
    )


def score_part(part: ScorePart) -> ChunkReport:
    """Score some partitions, here or by the service, and profile their windows; commit both."""
    project = part.project
    chunk = partial(
        score_chunk,
        project.lake,
        project.settings,
        project.classifier(part.model_version),
        part.model_version,
        part.chunk,
        observer=_profiler(project, part.model_version),
    )
    if part.service is not None:
        try:
            return chunk(predictor=part.service.predict)
        except HarError as error:
            if part.service.required:
                raise
            # It ended, or serves another version by now. What is wrong with the lake is met again here.
            console.print(f"{part} is scored in this process: {error}", highlight=False, markup=False)
    return chunk()


def require_champion(service: Service) -> None:
    """Raise if the batch service does not have the champion."""
    service.require_champion()


def remove_old_profiles(project: Project) -> int:
    """Delete the profiles of days older than `monitoring.keep_days`."""
    return Profiles(project.lake).remove_old(project.settings.monitoring.keep_days)


def _profiler(project: Project, version: int) -> Profiler | None:
    """The profiler of this version's windows; None if monitoring is off."""
    if not project.settings.monitoring.enabled:
        return None
    names = project.classifier(version).metadata.feature_names
    return Profiler(project.lake, project.settings, names, version, own_bins(project, version))


def pending(
    lake: Lake,
    model_version: int,
    *,
    date: dt.date | None = None,
    rescore: bool = False,
    profiled: Container[Partition] | None = None,
) -> dict[Partition, str]:
    """Partitions whose current content no model has scored, or whose predictions are gone, with the content's id.

    Args:
        lake: has samples and scores.
        model_version: the champion's.
        date: this date only; None: all.
        rescore: also partitions that another version scored (after a promotion or a rollback) or that have no profile.
        profiled: partitions with a profile; None: profiles are not needed.
    """
    scored = {
        (when, subject): (content, version)
        for when, subject, content, version in lake.scores.extract()
        .select("date", "subject", "content", "model_version")
        .iter_rows()
    }
    gone = to_score_again(lake)
    wanted = {}
    for partition, content in lake.contents().items():
        scored_content, version = scored.get(partition, ("", -1))
        complete = version == model_version and (profiled is None or partition in profiled)
        fresh = scored_content == content and partition not in gone and (complete or not rescore)
        if not fresh and date in (None, partition[0]):
            wanted[partition] = content
    return dict(sorted(wanted.items()))


def chunks_to_score(
    lake: Lake, wanted: dict[Partition, str], *, limit: int = CHUNK_SAMPLES, workers: int = 1
) -> list[Chunk]:
    """Group partitions into chunks of about `limit` samples; a larger partition is a chunk of its own.

    With several workers, chunks are smaller where there would be too few to keep all busy.
    """
    rows = lake.recordings.extract(wanted).group_by("date", "subject").agg(pl.col("samples").sum())
    sizes: dict[Partition, int] = {(date, subject): samples for date, subject, samples in rows.iter_rows()}
    if workers > 1:
        limit = min(limit, max(LEAST_SAMPLES, sum(sizes.get(partition, 0) for partition in wanted) // (2 * workers)))
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
    """Score a chunk's partitions; write predictions, profiles and scores. Predictions of the online service stay.

    Args:
        lake: to read samples from and write predictions to.
        settings: window, rate and channels.
        classifier: the model.
        model_version: its version.
        chunk: what to score.
        predictor: predicts in place of `classifier`, such as a service with the same model; it must return the
            observer's features.
        observer: gets the scored windows.
    """
    began = time.perf_counter()
    samples_version = lake.samples.version()
    columns = ["session", "segment", "time", *lake.channels]
    parts = lake.samples.each(samples_version, chunk.partitions, columns, verify=True)
    features = observer.features if observer else ()
    if predictor is None:
        answers = predict(parts, settings, classifier, model_version, features=features)
    else:
        answers = predictor(parts)
    predictions = answers.select(lake.predictions.schema.names())
    lake.predictions.replace(predictions, chunk.partitions, keep="request_id")
    if observer:
        observer(chunk.partitions, answers)
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
    measured = len(with_signal(predictions))
    return ChunkReport(len(chunk.partitions), windows, time.perf_counter() - began, windows - measured)
