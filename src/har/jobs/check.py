"""Check that the tables hold what they should, and that registry and promotion log agree; optionally repair the tables.

A check reads logs and statistics only: it takes seconds on a large lake, and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import polars as pl

from har.errors import HarError, StorageError
from har.lake import Lake, losses, repair, to_load_again, to_score_again
from har.project import Project
from har.settings import Settings


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, and the way out."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class CheckReport:
    """The result of `check`.

    Attributes:
        findings: what is wrong now, the lake first.
        done: what was repaired or accepted, in words.
        partitions: number of subject-days in `samples`.
        versions: number of registered versions.
        seconds: duration.
    """

    findings: tuple[Finding, ...]
    done: tuple[str, ...]
    partitions: int
    versions: int
    seconds: float


def check(project: Project, *, mend: bool = False, accept: bool = False) -> CheckReport:
    """Compare the tables with each other and with what was written, and the registry with its promotion log.

    Object storage is tried first, and nothing else is said where it refuses.

    Args:
        project: its lake and registry.
        mend: first rename unreadable files of logs, and drop data files that cannot be read; reads all data.
        accept: first take the tables as they are: forget lost commits, and the rows that count what is missing.

    Raises:
        LakeError: a table cannot be written.
    """
    began = time.perf_counter()
    lake = project.lake
    refusals = tuple(_refusals(project.settings))
    if refusals:
        return CheckReport(refusals, (), 0, 0, time.perf_counter() - began)
    done: list[str] = []
    if mend:
        for table in lake.tables:
            done += repair(table)
    if accept:
        done += take_as_it_is(lake)
    findings: list[Finding] = []
    partitions = versions = 0
    try:
        findings += [Finding(str(loss), loss.remedy) for loss in losses(lake)]
        partitions = len(lake.samples.partitions())
    except HarError as error:
        findings.append(_finding(error))
    try:
        project.registry.verify()
        registered = {version.number for version in project.registry.versions()}
        versions = len(registered)
        if not findings:
            findings += _unregistered(lake, registered)
    except HarError as error:
        findings.append(_finding(error))
    return CheckReport(tuple(findings), tuple(done), partitions, versions, time.perf_counter() - began)


def _refusals(settings: Settings) -> Iterator[Finding]:
    """What object storage refuses, for the lake and for model files."""
    for place, shared in ((settings.location("lake"), True), (settings.artifacts, False)):
        try:
            if place is not None:
                place.probe(conditional=shared)
        except StorageError as error:
            yield _finding(error)


def take_as_it_is(lake: Lake) -> list[str]:
    """Accept losses: files whose samples are gone count as never ingested, their days as never scored.

    Returns:
        What was given up, in words.
    """
    done = []
    load, score = sorted(to_load_again(lake)), sorted(to_score_again(lake))
    if load:
        files = lake.recordings.read(partitions=load)
        left = lake.samples.readable(load)
        held = left.group_by("date", "subject", "session").len()
        whole = files.join(held, on=["date", "subject", "session"]).filter(pl.col("len") == pl.col("samples"))
        kept = whole.select(files.columns)
        lake.samples.replace(left, load)
        lake.recordings.replace(kept, load)
        done.append(f"recordings: {len(files) - len(kept)} files count as not ingested")
    if score:
        lake.scores.replace(pl.DataFrame(schema=lake.scores.schema), score)
        done.append(f"scores: {len(score)} subject-days count as not scored")
    for table in lake.tables:
        lost = table.lost()
        if lost:
            done.append(f"{table.name}: losses in {len(lost)} subject-days are accepted")
        table.take_as_it_is()
    return done


def _unregistered(lake: Lake, registered: Collection[int]) -> Iterator[Finding]:
    """Predictions of versions that the registry does not have, as after a loss of all its files."""
    scored = lake.scores.read(columns=["model_version"])["model_version"].unique().sort()
    unknown = [str(number) for number in scored if number not in registered]
    if unknown:
        yield Finding(
            f"scores: days that the versions {', '.join(unknown)} scored, which the registry does not have",
            "Restore mlruns from a backup; or score the days with the present champion: har score --rescore.",
        )


def _finding(error: HarError) -> Finding:
    what = error.problem or f"expected {error.expected}, but got {error.got}"
    return Finding(f"{error.where}: {what}", error.remedy)
