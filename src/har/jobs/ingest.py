"""Read the inbox into the lake; files that cannot be ingested go to quarantine.

Samples are committed first, then the files' rows in `recordings`. After a run that was killed between the two, the next
one reads the same files again and writes the same partitions. Ingested files stay in the inbox as the raw data: if the
lake has lost samples, the files of those subject-days are read again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from rich.markup import escape

from har.console import console, track
from har.errors import ConflictingRecordingError, DuplicateRecordingError, RecordingError
from har.jobs._each import Each, in_turn, once
from har.lake import Lake, Partition, to_load_again
from har.project import Project
from har.recordings import InboxFile, Recording, StrayFile, inbox_files, quarantine, read_recording
from har.settings import Settings

CHUNK_BYTES = 200_000_000
"""Approximate number of bytes read between two commits; a subject-day is never split."""


@dataclass(frozen=True)
class Quarantined:
    """A file that could not be ingested: its new path and the reason."""

    file: str
    now_at: Path
    error: RecordingError


@dataclass
class IngestReport:
    """The result of ingesting files.

    `unfinished` files changed while they were read, and wait for the next run. `restored` files, which are among the
    landed ones, had been ingested before, but the lake has lost samples of their day.
    """

    landed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    samples: int = 0

    def add(self, other: IngestReport) -> None:
        """Add another report's counts."""
        self.landed += other.landed
        self.unfinished += other.unfinished
        self.known += other.known
        self.quarantined += other.quarantined
        self.restored += other.restored
        self.samples += other.samples


@dataclass(frozen=True)
class IngestPart:
    """Files of some subjects of one date.

    `replace`: also replace sessions that have other content; `reload`: subject-days of which samples are missing.
    """

    project: Project
    files: tuple[InboxFile, ...]
    replace: bool = False
    reload: frozenset[Partition] = frozenset()

    def __str__(self) -> str:
        return f"{self.files[0].date} ({len(self.files)} files)"


@dataclass(frozen=True)
class StrayPart:
    """Files that are no recordings by their names."""

    project: Project
    strays: tuple[StrayFile, ...]

    def __str__(self) -> str:
        return f"{len(self.strays)} files"


def ingest(
    project: Project, *, date: dt.date | None = None, replace: bool = False, each: Each = in_turn
) -> IngestReport:
    """Read the inbox into the lake; files already ingested are skipped.

    Args:
        project: its inbox and lake.
        date: this date only; None: all.
        replace: replace sessions that were ingested with other content.
        each: how to run the chunks; writers of a table wait for each other.

    Raises:
        LakeError: a table cannot be written; none is left incomplete.
    """
    chunks, strays = inbox_chunks(project.settings, date)
    report = IngestReport()
    if strays:
        report.add(once(each, set_aside, StrayPart(project, tuple(strays))))
    reload = to_load_again(project.lake)
    parts = [IngestPart(project, tuple(chunk), replace, reload) for chunk in chunks]
    for done in track(each(ingest_part, parts), "Ingesting", total=len(parts), unit="chunks"):
        report.add(done)
    for bad in report.quarantined:
        reason = escape(f"{bad.file}: {bad.error}")  # the error quotes text that may look like markup
        console.print(f"[yellow]quarantined[/] {reason}", highlight=False)
    return report


def ingest_part(part: IngestPart) -> IngestReport:
    """Ingest some subjects of one date."""
    return ingest_files(part.project.lake, part.project.settings, part.files, replace=part.replace, reload=part.reload)


def inbox_chunks(settings: Settings, date: dt.date | None = None) -> tuple[list[list[InboxFile]], list[StrayFile]]:
    """The inbox's files in chunks, each of some subjects of one date, and the files that are no recordings.

    Args:
        settings: have the inbox's path.
        date: this date only; None: all.
    """
    files, strays = inbox_files(settings.path("inbox"), date)
    chunks: list[list[InboxFile]] = []
    total = 0
    last: Partition | None = None
    for file in sorted(files, key=lambda file: (file.date, file.subject, file.session, file.path)):
        size = file.path.stat().st_size
        partition = (file.date, file.subject)
        full = partition != last and total + size > CHUNK_BYTES
        if not chunks or full or (last is not None and file.date != last[0]):
            chunks.append([])
            total = 0
        chunks[-1].append(file)
        total += size
        last = partition
    return chunks, strays


def ingest_files(
    lake: Lake,
    settings: Settings,
    files: Sequence[InboxFile],
    *,
    replace: bool = False,
    reload: frozenset[Partition] | None = None,
) -> IngestReport:
    """Read, check and commit files of one date.

    Args:
        lake: to write to.
        settings: describe the files.
        files: of one date; all files of a subject in the same call.
        replace: replace sessions that have other content, instead of refusing them.
        reload: subject-days whose files are read again, because samples are missing; None: find them.

    Raises:
        LakeError: a table cannot be written; none is left incomplete.
    """
    report = IngestReport()
    with lake.recordings.lock():
        known = _Ingested(lake)
        again = to_load_again(lake) if reload is None else reload
        landed: list[tuple[InboxFile, Recording]] = []
        for file in files:
            if not file.path.exists():  # another run has moved it to quarantine since it was listed
                continue
            before = _stamp(file.path)
            try:
                held = known.holds(file, replace=replace)
                if held and (file.date, file.subject) not in again:
                    report.known.append(file.where)
                    continue
                recording = read_recording(file, settings)
            except RecordingError as error:
                if _stamp(file.path) != before:
                    report.unfinished.append(file.where)
                    continue
                report.quarantined.append(_set_aside(file.path, error, settings))
                continue
            if _stamp(file.path) != before:
                report.unfinished.append(file.where)
                continue
            known.add(file)
            landed.append((file, recording))
            report.landed.append(file.where)
            report.restored += [file.where] if held else []
            report.samples += len(recording.frame)
        if landed:
            _commit(lake, landed)
    return report


def set_aside(part: StrayPart) -> IngestReport:
    """Quarantine files that are no recordings by their names."""
    there = [stray for stray in part.strays if stray.path.exists()]
    return IngestReport(quarantined=[_set_aside(stray.path, stray.error, part.project.settings) for stray in there])


class _Ingested:
    """The files in the lake, by session and by content."""

    def __init__(self, lake: Lake) -> None:
        rows = lake.recordings.read(columns=["date", "subject", "session", "sha256"]).iter_rows()
        self._content = {(date, subject, session): sha256 for date, subject, session, sha256 in rows}
        self._owner = {sha256: key for key, sha256 in self._content.items()}

    def holds(self, file: InboxFile, *, replace: bool) -> bool:
        """Whether this file was ingested as this session.

        Raises:
            ConflictingRecordingError: the session was ingested with other content.
            DuplicateRecordingError: the content was ingested as another session.
        """
        key = _key(file)
        content = self._content.get(key)
        if content == file.sha256:
            return True
        owner = self._owner.get(file.sha256)
        if owner is not None and owner != key:
            raise DuplicateRecordingError(
                where=file.where,
                expected="a recording that is not in the lake yet",
                got=f"the same bytes as session {owner[2]!r} of subject {owner[1]!r} on {owner[0]}",
                remedy="Delete the copy; if the other file has the wrong name, see `har ingest --replace`.",
            )
        if content is not None and not replace:
            raise ConflictingRecordingError(
                where=file.where,
                expected=f"session {key[2]!r} of subject {key[1]!r} on {key[0]} as it was ingested "
                f"(sha256 {content[:12]}…)",
                got=f"other content (sha256 {file.sha256[:12]}…)",
                remedy="If the new file is right, put it back into the inbox and run `har ingest --replace`; "
                "if it is another session, rename it.",
            )
        return False

    def add(self, file: InboxFile) -> None:
        self._content[_key(file)] = file.sha256
        self._owner[file.sha256] = _key(file)


def _commit(lake: Lake, landed: Sequence[tuple[InboxFile, Recording]]) -> None:
    partitions = sorted({(file.date, file.subject) for file, _ in landed})
    fresh = pl.DataFrame([(*_key(file),) for file, _ in landed], ["date", "subject", "session"], orient="row")
    now = dt.datetime.now(dt.UTC)
    rows = pl.DataFrame([_row(file, recording, now) for file, recording in landed], dict(lake.recordings.schema))
    samples = pl.concat([_without(lake.samples.readable(partitions), fresh), *(r.frame for _, r in landed)])
    lake.samples.replace(samples.sort("date", "subject", "session", "time"), partitions)
    recordings = pl.concat([_without(lake.recordings.readable(partitions), fresh), rows])
    lake.recordings.replace(recordings.sort("date", "subject", "session"), partitions)


def _without(frame: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    return frame.join(fresh, on=["date", "subject", "session"], how="anti")


def _row(file: InboxFile, recording: Recording, now: dt.datetime) -> dict[str, Any]:
    quality = recording.quality
    return {
        "date": file.date,
        "subject": file.subject,
        "session": file.session,
        "file": file.where,
        "sha256": file.sha256,
        "ingested_at": now,
        "samples": len(recording.frame),
        "placement": recording.placement,
        "device": recording.device,
        **{name: value for name, value in vars(quality).items() if name != "samples_kept"},
    }


def _set_aside(path: Path, error: RecordingError, settings: Settings) -> Quarantined:
    inbox = settings.path("inbox")
    now_at = quarantine(path, error, settings.path("quarantine"), inbox=inbox)
    return Quarantined(str(path.relative_to(inbox)), now_at, error)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _key(file: InboxFile) -> tuple[dt.date, str, str]:
    return file.date, file.subject, file.session
