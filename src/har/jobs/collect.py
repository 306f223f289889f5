"""Read the online service's prediction log into the lake: predictions, requests and labels, each exactly once.

The answers of its page `/label`, which lie beside the log, come into the lake with it.

Predictions are committed first, then requests, then labels; after that, the files are removed. Rows have keys: a run
after one that was killed, or one that reads a file that the service still writes to, adds only the missing rows.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import polars as pl
from rich.markup import escape

from har.console import console, track
from har.engine import Each, in_turn, once
from har.errors import LakeBusyError, LakeError
from har.files import locked, write_atomically
from har.inference import Classifier
from har.jobs._placing import KEY, add_feedback, place_waiting, requests_with_ids
from har.jobs.label_page import Collected, collect_answers
from har.jobs.maintain import upkeep
from har.journal import Entries, Fault, Reader
from har.lake import Lake
from har.monitoring.profiles import chosen_features, profile_online
from har.project import Project
from har.settings import Settings

CHUNK_BYTES = 64_000_000
"""Approximate size of the files that are collected together."""

_BLOCK_BYTES = 2_000_000
_WAIT_S = 60.0
"""Parsed at once; as Python objects, it takes a few times this."""
_COMMIT_BYTES = 48_000_000
"""Approximate size that is read between two commits; it bounds the memory for files of any size."""


@dataclass(frozen=True)
class BadLine:
    """A line of the log that cannot be read; it was copied to the file `now_at`."""

    file: str
    line: int
    reason: str
    now_at: Path


@dataclass
class CollectReport:
    """The result of collecting files of the log.

    Attributes:
        files: number of files that were collected and removed.
        open: number of files that were read, and that the service still writes to.
        requests: new windows in `requests`.
        predictions: new windows in `predictions`.
        shadows: windows already in `requests` that got the shadow model's answer.
        labels: new rows in `labels`.
        answers: new rows in `labels` from the page `/label`.
        reviewed: rows from the page that count for something else now: taken back, in dispute, or settled.
        waiting: feedback whose request, or predictions of the interval that it claims, are not in the lake yet.
        torn: incomplete last lines of killed writers.
        unmatched: windows of shadow lines without a request in the lake; they are ignored.
        bad: lines that cannot be read.
    """

    files: int = 0
    open: int = 0
    requests: int = 0
    predictions: int = 0
    shadows: int = 0
    labels: int = 0
    answers: int = 0
    reviewed: int = 0
    waiting: int = 0
    torn: int = 0
    unmatched: int = 0
    bad: list[BadLine] = field(default_factory=list)

    def add(self, other: CollectReport) -> None:
        """Add the counts of a later report."""
        for name, value in vars(other).items():
            setattr(self, name, value if name == "waiting" else getattr(self, name) + value)


@dataclass(frozen=True)
class CollectPart:
    """Some files of the log."""

    project: Project
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return self.files[0].name


def collect(project: Project, *, each: Each = in_turn) -> CollectReport:
    """Read the prediction log into the lake, remove complete files, and profile the new windows.

    It can run at any time, also while the service writes and after a run that was killed.

    Args:
        project: its log and lake.
        each: how to run the chunks; writers of a table wait for each other.

    Raises:
        LakeError: a file or table cannot be read or written; the log is unchanged, and no table is left incomplete.
    """
    report = CollectReport()
    parts = [CollectPart(project, tuple(chunk)) for chunk in log_chunks(project.settings)]
    for done in track(each(collect_part, parts), "Collecting", total=len(parts), unit="chunks"):
        report.add(done)
    if not parts:  # predictions of the nightly job may have come since
        report.waiting = once(each, waiting_still, project)
    answered = once(each, answers_of_page, project)
    report.answers, report.reviewed = answered.new, answered.changed
    if project.settings.monitoring.enabled:
        once(each, profile_answers, project)
    if parts:
        once(each, upkeep, project)
    for bad in report.bad:
        line = escape(f"{bad.file}, line {bad.line}: {bad.reason}")  # the reason quotes text that may look like markup
        console.print(f"[yellow]set aside[/] {line}", highlight=False)
    return report


def collect_part(part: CollectPart) -> CollectReport:
    """Collect some files of the prediction log and commit them."""
    return collect_files(part.project.lake, part.files)


def waiting_still(project: Project) -> int:
    """Bound waiting feedback to predictions that came since; returns how much still waits."""
    return place_waiting(project.lake)


def answers_of_page(project: Project) -> Collected:
    """Bring what people answered on the page `/label` into the lake."""
    return collect_answers(project.lake, project.settings)


def profile_answers(project: Project) -> int:
    """Profile the windows that the service answered and that no profile contains yet."""
    settings = project.settings
    versions = project.lake.requests.extract()["model_version"].unique()
    registered = {version.number for version in project.registry.versions()}
    features = {}
    for number in sorted(registered.intersection(versions.to_list())):
        # An older version may have been trained with other settings than the current ones.
        names = Classifier(project.registry.model_path(number), threads=1).metadata.feature_names
        features[number] = (names, chosen_features(names, settings.monitoring))
    return profile_online(project.lake, features, keep_days=settings.monitoring.keep_days) if features else 0


def journal_files(folder: Path) -> list[Path]:
    """The log's files, oldest first; their names are `<stamp>-<writer>-<number>.jsonl`."""
    return sorted((path for path in folder.glob("*.jsonl") if not path.name.startswith(".")), key=_sort_key)


def log_chunks(settings: Settings) -> list[list[Path]]:
    """The log in chunks of about `CHUNK_BYTES`, oldest first; a larger file is a chunk of its own."""
    chunks: list[list[Path]] = []
    total = 0
    for path in journal_files(settings.path("journal")):
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # another run has just collected it
            continue
        if not chunks or total + size > CHUNK_BYTES:
            chunks.append([])
            total = 0
        chunks[-1].append(path)
        total += size
    return chunks


def collect_files(lake: Lake, paths: Sequence[Path]) -> CollectReport:
    """Read files of the log into the lake, and remove those that are complete.

    A file is complete if no process holds its lock. Of a file that the service still writes to, the complete lines are
    read. Lines that cannot be read are copied to `<file>.bad` beside it; fix them and rename the file to `.jsonl` to
    collect them again.

    Args:
        lake: to write to.
        paths: oldest first; files that no longer exist are skipped.

    Raises:
        LakeError: a file or table cannot be read or written; the log is unchanged, and no table is left incomplete.
    """
    report = CollectReport()
    try:
        with _one_run(lake, paths):  # the next one will not find the files
            files = []
            reader = Reader()
            size = 0
            for path in paths:
                if not path.exists():
                    continue
                file = _LogFile(path)
                files.append(file)
                for length in file.read(reader):
                    size += length
                    if size >= _COMMIT_BYTES:
                        _commit(lake, reader.tables(), report)
                        size = 0
            _commit(lake, reader.tables(), report)
            closed = [file for file in files if file.closed]
            for file in closed:
                report.bad += file.set_bad_lines_aside()
            if closed:
                os.sync()  # the rows must be on disk before their only source is removed
            for file in closed:
                file.path.unlink()
            report.files, report.open = len(closed), len(files) - len(closed)
            report.torn = sum(file.torn for file in closed)
            report.waiting = place_waiting(lake)
    except LakeError:
        raise
    except OSError as error:
        raise LakeError(
            where=str(error.filename or (paths[0].parent if paths else "journal")),
            expected="prediction logs that can be read, set aside and removed",
            got=error.strerror or str(error),
            remedy="Free space or grant access, then run `har collect` again: no line is lost or counted twice.",
        ) from error
    return report


def _one_run(lake: Lake, paths: Sequence[Path]) -> AbstractContextManager[None]:
    """One collection at a time: of this lake, or, where it is on object storage, of this folder of logs."""
    if lake.location.is_local:
        return lake.requests.lock()
    if not paths:
        return nullcontext()
    folder = paths[0].parent
    busy = LakeBusyError(
        where=str(folder),
        expected="no other run",
        got=f"one that has collected this log for {_WAIT_S:g} s",
        remedy="Wait for the other run to finish, or stop it, then run the same command again.",
    )
    return locked(folder / ".collecting.lock", timeout_s=_WAIT_S, busy=busy)


class _LogFile:
    """One file of the log while it is collected."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self.torn = 0
        self._faults: list[Fault] = []

    def read(self, reader: Reader) -> Iterator[int]:
        """Pass the file's complete lines to `reader`, block by block; yields the number of bytes of each block."""
        with self.path.open("rb") as stream:
            # Checked before reading: a file that is complete by then is read to its end.
            self.closed = _lock_is_free(stream)
            number = 1
            while lines := stream.readlines(_BLOCK_BYTES):
                whole = lines if lines[-1].endswith(b"\n") else lines[:-1]
                self._faults += reader.read(whole, first=number)
                yield sum(map(len, whole))
                number += len(whole)
                if len(whole) < len(lines):
                    self.torn = 1
                    return

    def set_bad_lines_aside(self) -> list[BadLine]:
        """Copy the lines that cannot be read to the file `.bad`."""
        target = self.path.with_name(f"{self.path.name}.bad")
        if self._faults:
            write_atomically(target, b"".join(fault.content for fault in self._faults))
        return [BadLine(self.path.name, fault.line, fault.reason, target) for fault in self._faults]


def _lock_is_free(stream: BinaryIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _commit(lake: Lake, entries: Entries, report: CollectReport) -> None:
    windows, shadows = entries.windows, entries.shadows
    same = ["request_id", "window", "received_at"]
    # Only the keys are joined: a join of all columns would copy the features, which are most of the bytes.
    seen = windows.select(same).join(shadows.unique(same, keep="first"), on=same, how="left", maintain_order="left")
    windows = windows.hstack(seen.drop(same))
    if len(windows):
        report.predictions += lake.predictions.add(windows.select(lake.predictions.schema.names()), KEY)
        new = lake.requests.add(windows.select(lake.requests.schema.names()), KEY)
        report.requests += new
        touched = windows.select("date", "subject").unique().rows()
        lake.predictions.compact(touched)
        lake.requests.compact(touched)
        if new == len(windows):  # else an earlier run wrote some, possibly without their shadow answers
            shadows = shadows.join(seen, on=same, how="anti")
    if len(shadows):
        _amend(lake, shadows, report)
    if len(entries.feedback) or len(windows):
        report.labels += add_feedback(lake, entries.feedback, windows["request_id"].unique())


def _amend(lake: Lake, shadows: pl.DataFrame, report: CollectReport) -> None:
    """Add the shadow model's answers to requests that are already in the lake."""
    columns = ["date", "subject", *KEY, "received_at", "shadow_version"]
    window = pl.int_range(pl.len(), dtype=pl.Int32).over("request_id", "received_at", order_by="start")
    known = requests_with_ids(lake, shadows["request_id"], shadows["received_at"].min(), columns).select(
        pl.exclude("shadow_version"), window.alias("window"), pl.col("shadow_version").alias("had")
    )
    # Clients may use an id twice: choose the request received at the same time, or else the last one.
    same_time = (pl.col("received_at") == pl.col("received_at_right")).cast(pl.Int8)
    pairs = (
        shadows.rename({"received_at": "received_at_right"})
        .join(known, on=["request_id", "window"])
        .sort(same_time, "received_at", descending=True)
        .unique(["request_id", "window", "received_at_right"], keep="first", maintain_order=True)
    )
    report.unmatched += shadows.join(pairs, on=["request_id", "window"], how="anti").height
    changes = (
        pairs.filter(pl.col("had").is_null())
        .unique(["date", "subject", *KEY], keep="first", maintain_order=True)
        .select("date", "subject", *KEY, "shadow_version", "shadow_activity", "shadow_confidence")
    )
    report.shadows += lake.requests.amend(changes, KEY)


def _sort_key(path: Path) -> tuple[str, int, str]:
    stamp, _, writer = path.stem.partition("-")
    number = writer.rpartition("-")[2]
    return stamp, int(number) if number.isdecimal() else 0, path.name
