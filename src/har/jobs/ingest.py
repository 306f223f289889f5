"""Read the inbox into the lake; files that cannot be ingested go to quarantine.

Samples are committed first, then the files' rows in `recordings`. After a run that was killed between the two, the next
one reads the same files again and writes the same partitions. Ingested files stay in the inbox as the raw data: if the
lake has lost samples, the files of those subject-days are read again.

Whatever is wrong with one file is that file's: it goes to quarantine or, if it must not or cannot be touched, is left
where it is and named; the others are ingested. Only a disk or a lake that fails ends the job.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape

from har.console import console, track
from har.engine import Each, in_turn, once
from har.errors import DuplicateRecordingError, RecordingError
from har.jobs._ingested import Ingested, Landed, commit
from har.jobs._isolation import fault_of, set_aside_or_leave
from har.jobs._overlaps import Key, Sessions, Trimmed, counted_once
from har.jobs._seen import Seen, Stamp
from har.lake import Lake, Partition, to_load_again
from har.project import Project
from har.recordings import InboxFile, Part, Recording, StrayFile, cut_at_midnight, inbox_files, read_recording
from har.schema import FLAGS
from har.settings import Settings

CHUNK_BYTES = 200_000_000
"""Approximate number of bytes read between two commits; a subject-day is never split."""


@dataclass(frozen=True)
class Quarantined:
    """A file that could not be ingested: its new path and the reason."""

    file: str
    now_at: Path
    error: RecordingError


@dataclass(frozen=True)
class Skipped:
    """An entry of the inbox that was left where it is, and the reason."""

    file: str
    error: RecordingError


@dataclass
class IngestReport:
    """The result of ingesting files.

    Attributes:
        landed: files that were ingested.
        restored: those of them that had been ingested before, and of whose dates the lake has lost samples.
        unfinished: files that changed while they were read; they wait for the next run.
        known: files that were ingested before.
        quarantined: files that went to quarantine.
        skipped: entries that were left where they are: links, pipes, files that cannot be read, …
        samples: new rows of the sample table.
        rows_read: rows of the ingested files.
        rows_kept: those that were used.
        interpolated: new rows of the sample table without a measured sample nearby.
        overlapping: samples that were left out, because another session has them.
        notes: sentences about files that were cut, overlap another session, or are odd in another way.
        seen: files whose hash is that of the lake, with what tells that they have not changed since, see `Seen`.
    """

    landed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    samples: int = 0
    rows_read: int = 0
    rows_kept: int = 0
    interpolated: int = 0
    overlapping: int = 0
    notes: list[str] = field(default_factory=list)
    seen: list[tuple[str, Stamp, str]] = field(default_factory=list)

    def add(self, other: IngestReport) -> None:
        """Add another report's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def complete(self) -> bool:
        """Whether nothing was quarantined or skipped."""
        return not self.quarantined and not self.skipped

    @property
    def summary(self) -> str:
        """Files and rows in one line."""
        waiting = f", {len(self.unfinished)} still being uploaded" if self.unfinished else ""
        restored = f" ({len(self.restored)} of them again, as samples were missing)" if self.restored else ""
        once_only = f", {self.overlapping} in two sessions and counted once" if self.overlapping else ""
        return (
            f"{len(self.landed)} files ingested{restored}, {len(self.known)} known, "
            f"{len(self.quarantined)} quarantined, {len(self.skipped)} skipped{waiting}; "
            f"{self.rows_read} rows read, {self.rows_kept} kept, {self.rows_read - self.rows_kept} dropped, "
            f"{self.interpolated} interpolated{once_only}."
        )


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
    """Entries of the inbox that are no recordings."""

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
        date: the folder of this date only; None: all.
        replace: replace sessions that were ingested with other content; also read files again that an older release
            ingested, which did not cut them at midnight.
        each: how to run the chunks; writers of a table wait for each other.

    Raises:
        LakeError: the inbox or a table cannot be read, or a table cannot be written; none is left incomplete.
    """
    reload = to_load_again(project.lake)
    seen = Seen(project.settings.path("inbox"))
    settled = {} if replace else seen.settled(project.lake, reload, date)
    chunks, strays = inbox_chunks(project.settings, date, without=settled)
    report = IngestReport(known=[file for files in settled.values() for file in files])
    if strays:
        report.add(once(each, set_aside, StrayPart(project, tuple(strays))))
    parts = [IngestPart(project, tuple(chunk), replace, reload) for chunk in chunks]
    for done in track(each(ingest_part, parts), "Ingesting", total=len(parts), unit="chunks"):
        report.add(done)
    seen.add({file: (stamp, sha256) for file, stamp, sha256 in report.seen})
    for word, bad in (("quarantined", report.quarantined), ("skipped", report.skipped)):
        for one in bad:
            reason = escape(str(one.error))  # the error quotes text that may look like markup
            console.print(f"[yellow]{word}[/] {reason}", highlight=False, soft_wrap=True, emoji=False)
    for note in report.notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True, emoji=False)
    return report


def ingest_part(part: IngestPart) -> IngestReport:
    """Ingest some subjects of one date."""
    return ingest_files(part.project.lake, part.project.settings, part.files, replace=part.replace, reload=part.reload)


def inbox_chunks(
    settings: Settings, date: dt.date | None = None, *, without: Collection[str] = ()
) -> tuple[list[list[InboxFile]], list[StrayFile]]:
    """The inbox's files in chunks, each of some subjects of one date, and the entries that are no recordings.

    Args:
        settings: have the inbox's path.
        date: this date only; None: all.
        without: folders of the inbox that are left out.
    """
    files, strays = inbox_files(settings.path("inbox"), date, without=without)
    # A quarantine inside of the inbox must not be quarantined.
    strays = [stray for stray in strays if settings.path("quarantine") not in stray.path.parents]
    chunks: list[list[InboxFile]] = []
    total = 0
    last: Partition | None = None
    for file in sorted(files, key=lambda file: (file.date, file.subject, file.session, file.path)):
        size = stamp.size if (stamp := _stamp(file.path)) else 0
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
        LakeError: a table cannot be read or written; none is left incomplete.
    """
    with lake.recordings.lock():
        lost = to_load_again(lake) if reload is None else reload
        intake = _Intake(lake, settings, files, replace=replace, lost=lost)
        intake.plan(files)
        for file in files:
            intake.take(file)
        if intake.landed:
            commit(lake, intake.landed)
    return intake.report


def set_aside(part: StrayPart) -> IngestReport:
    """Quarantine files that are no recordings by their names; links, pipes and the like are left and named."""
    report = IngestReport()
    for stray in part.strays:
        _set_aside(stray.path, stray.error, part.project.settings, report)
    return report


class _Intake:
    """Files of one date on their way into the lake."""

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        files: Sequence[InboxFile],
        *,
        replace: bool,
        lost: Collection[Partition],
    ) -> None:
        self.settings = settings
        self.replace = replace
        self.lost = lost
        self.report = IngestReport()
        self.landed: list[Landed] = []
        self._known = Ingested(lake, {file.date for file in files})
        self._sessions = Sessions(lake, settings, self._known.placements, lost)
        self._renewed: set[str] = set()
        self._replaced: set[Key] = set()

    def plan(self, files: Sequence[InboxFile]) -> None:
        """Find the subjects of whom a file is replaced: what their other files share with it is decided again.

        Files that an older release ingested, which neither cut nor compared them, are read again, too, and so are those
        of subjects of whom the lake has lost samples.
        """
        for file in files:
            try:
                if self._is_lost(file) or (self.replace and self._known.to_renew(file)):
                    self._renewed.add(file.subject)
            except OSError:  # `take` meets it again, and reports it
                continue
        for file in files:
            if file.subject in self._renewed:
                self._replaced.update(self._known.keys(file))

    def _is_lost(self, file: InboxFile) -> bool:
        return any(key[:2] in self.lost for key in self._known.keys(file))

    def take(self, file: InboxFile) -> None:
        """Read a file and keep it for the commit, or report why not."""
        before = _stamp(file.path)
        if before is None:  # another run has moved it to quarantine since it was listed
            return
        is_known = False
        try:
            with fault_of(file, self.settings):
                is_known = self._known.holds(file, replace=self.replace)
                if is_known and file.subject not in self._renewed:
                    self.report.known.append(file.where)
                    self._see(file, before)
                    return
                recording = read_recording(file, self.settings)
                parts = cut_at_midnight(file, recording, self.settings)
                self._known.look_around(part.date for part in parts)
                self._known.require_free(file, parts)
            beside = self._sessions.beside(file.subject, parts, self._replaced)
            with fault_of(file, self.settings):
                trimmed = counted_once(file, parts, beside, self.settings)
        except RecordingError as error:
            self._refuse(file, error, is_known=is_known, unchanged=_stamp(file.path) == before)
            return
        if _stamp(file.path) != before:
            self._wait(file)
            return
        self._land(file, recording, trimmed, is_known=is_known)
        self._see(file, before)

    def _see(self, file: InboxFile, stamp: Stamp) -> None:
        if stamp.is_settled():
            self.report.seen.append((file.where, stamp, file.sha256))

    def _land(self, file: InboxFile, recording: Recording, trimmed: Sequence[Trimmed], *, is_known: bool) -> None:
        parts = [one.part for one in trimmed]
        restored = is_known and self._is_lost(file)
        self.landed.append(Landed(file, trimmed, self._known.keys(file), again=is_known))
        self._known.add(file, parts)
        self._sessions.add(file.subject, parts)
        if is_known and not restored:
            self.report.known.append(file.where)
            return
        quality = recording.quality
        frames = [part.recording.frame for part in parts]
        self.report.add(
            IngestReport(
                landed=[file.where],
                restored=[file.where] if restored else [],
                samples=sum(map(len, frames)),
                rows_read=quality.samples_read,
                rows_kept=quality.samples_kept,
                interpolated=sum(int((frame["flags"] & FLAGS["interpolated"] > 0).sum()) for frame in frames),
                overlapping=sum(one.overlapping for one in trimmed),
                notes=[
                    *(f"{file.where}: {note}." for note in quality.notes),
                    *_cut(file, parts, self.settings),
                    *(note for one in trimmed for note in one.notes),
                ],
            )
        )

    def _refuse(self, file: InboxFile, error: RecordingError, *, is_known: bool, unchanged: bool) -> None:
        if not unchanged:
            self._wait(file)
            return
        if is_known and isinstance(error, DuplicateRecordingError):
            self.landed.append(Landed(file, (), self._known.keys(file), again=True))
        else:
            self._replaced.difference_update(self._known.keys(file))
            if is_known and not self._is_lost(file):
                # It was ingested before, with other settings perhaps.
                self.report.known.append(file.where)
                self.report.notes.append(f"{error} It was ingested before, and its samples stay as they are.")
                return
        _set_aside(file.path, error, self.settings, self.report)

    def _wait(self, file: InboxFile) -> None:
        self._replaced.difference_update(self._known.keys(file))
        self.report.unfinished.append(file.where)


def _cut(file: InboxFile, parts: Sequence[Part], settings: Settings) -> list[str]:
    if len(parts) < 2:
        return []
    return [
        f"{file.where}: cut at midnight ({settings.project.timezone}) into {len(parts)} dates, {parts[0].date} to "
        f"{parts[-1].date}."
    ]


def _set_aside(path: Path, error: RecordingError, settings: Settings, report: IngestReport) -> None:
    name, outcome = set_aside_or_leave(path, error, settings)
    if isinstance(outcome, Path):
        report.quarantined.append(Quarantined(name, outcome, error))
    elif outcome is not None:
        report.skipped.append(Skipped(name, outcome))


def _stamp(path: Path) -> Stamp | None:
    """What tells whether a file changes; None if there is nothing. A link is not followed."""
    try:
        return Stamp.of(path.lstat())
    except OSError:
        return None
