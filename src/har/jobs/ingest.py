"""Read the inbox into the lake; files that cannot be ingested go to quarantine.

Samples are committed first, then the files' rows in `recordings`. After a run that was killed between the two, the next
one reads the same files again and writes the same partitions. Ingested files stay in the inbox as the raw data: if the
lake has lost samples, the files of those subject-days are read again.

Whatever is wrong with one file is that file's: it goes to quarantine or, if it must not or cannot be touched, is left
where it is and named; the others are ingested. Only a disk or a lake that fails ends the job.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from har.console import console, track
from har.engine import Each, engine_of, once, workers_of
from har.errors import DuplicateRecordingError, RecordingError
from har.jobs._ingest_report import IngestReport as IngestReport
from har.jobs._ingest_report import Quarantined, Skipped
from har.jobs._ingested import Ingested, Landed, commit
from har.jobs._isolation import fault_of, set_aside_or_leave
from har.jobs._lanes import Lane, in_lanes
from har.jobs._overlaps import Key, Sessions, Trimmed, counted_once
from har.jobs._seen import Seen, Stamp
from har.jobs.maintain import upkeep
from har.lake import Lake, Partition, to_load_again
from har.project import Project
from har.recordings import InboxFile, Part, Recording, StrayFile, cut_at_midnight, inbox_files, read_recording
from har.schema import FLAGS
from har.settings import Settings


@dataclass(frozen=True)
class IngestPart:
    """Files of some subjects.

    `replace`: also replace sessions that have other content; `reload`: subject-days of which samples are missing.
    """

    project: Project
    lane: Lane
    replace: bool = False
    reload: frozenset[Partition] = frozenset()

    def __str__(self) -> str:
        return str(self.lane)

    @property
    def size(self) -> int:
        """Bytes to read."""
        return self.lane.size


@dataclass(frozen=True)
class StrayPart:
    """Entries of the inbox that are no recordings."""

    project: Project
    strays: tuple[StrayFile, ...]

    def __str__(self) -> str:
        return f"{len(self.strays)} files"


def ingest(
    project: Project, *, date: dt.date | None = None, replace: bool = False, each: Each | None = None
) -> IngestReport:
    """Read the inbox into the lake; files already ingested are skipped.

    Args:
        project: its inbox and lake.
        date: the folder of this date only; None: all.
        replace: replace sessions that were ingested with other content; also read files again that an older release
            ingested, which did not cut them at midnight.
        each: how to run the lanes; by default the project's engine. Files are read at the same time, and writers of a
            table wait for each other.

    Raises:
        LakeError: the inbox or a table cannot be read, or a table cannot be written; none is left incomplete.
        PartsError: some lanes failed; the others are ingested.
    """
    each = each or engine_of(project.settings)
    reload = to_load_again(project.lake)
    seen = Seen(project.settings.path("inbox"))
    settled = {} if replace else seen.settled(project.lake, reload, date)
    files, listed = inbox_files(project.settings.path("inbox"), date, without=settled)
    # A quarantine inside of the inbox must not be quarantined.
    strays = [stray for stray in listed if project.settings.path("quarantine") not in stray.path.parents]
    report = IngestReport(known=[file for files in settled.values() for file in files])
    if strays:
        report.add(once(each, set_aside, StrayPart(project, tuple(strays))))
    # What a file shares with others is decided anew within a chunk, if it replaces one: then a chunk is of one date.
    lanes = in_lanes(files, workers_of(project.settings), by_date=replace or bool(reload))
    parts = [IngestPart(project, lane, replace, reload) for lane in lanes]
    for done in track(each(ingest_part, parts), "Ingesting", total=len(parts), unit="parts"):
        report.add(done)
    seen.add(report.seen)
    if report.landed:
        once(each, upkeep, project)
    for word, bad in (("quarantined", report.quarantined), ("skipped", report.skipped)):
        for one in bad:
            reason = escape(str(one.error))  # the error quotes text that may look like markup
            console.print(f"[yellow]{word}[/] {reason}", highlight=False, soft_wrap=True, emoji=False)
    for note in report.notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True, emoji=False)
    return report


def ingest_part(part: IngestPart) -> IngestReport:
    """Ingest the files of a lane, chunk by chunk."""
    report = IngestReport()
    lake, settings = part.project.lake, part.project.settings
    for chunk in part.lane.chunks:
        report.add(ingest_files(lake, settings, chunk, replace=part.replace, reload=part.reload))
    return report


def ingest_files(
    lake: Lake,
    settings: Settings,
    files: Sequence[InboxFile],
    *,
    replace: bool = False,
    reload: frozenset[Partition] | None = None,
) -> IngestReport:
    """Read and check files, then commit them: other writers wait for the second step only.

    Args:
        lake: to write to.
        settings: describe the files.
        files: all files of a subject and date in the same call; with `replace` or `reload`, of one date.
        replace: replace sessions that have other content, instead of refusing them.
        reload: subject-days whose files are read again, because samples are missing; None: find them.

    Raises:
        LakeError: a table cannot be read or written; none is left incomplete.
    """

    def begin() -> _Intake:
        return _Intake(lake, settings, replace, to_load_again(lake) if reload is None else reload, files)

    intake = begin()
    ready = intake.read_ahead(files)
    aside, tried = IngestReport(), False

    def land() -> IngestReport:
        nonlocal intake, tried
        if tried or lake.recordings.version() != intake.version:
            # What an earlier attempt has set aside is in the inbox no more.
            aside.add(IngestReport(quarantined=intake.report.quarantined, skipped=intake.report.skipped))
            intake = begin()
        tried = True
        for file in files:
            intake.take(file, ready.pop(file.path, None))
        if intake.landed:
            commit(lake, intake.landed)
        return intake.report

    report = lake.recordings.step(land)
    report.add(aside)
    return report


def set_aside(part: StrayPart) -> IngestReport:
    """Quarantine files that are no recordings by their names; links, pipes and the like are left and named."""
    report = IngestReport()
    for stray in part.strays:
        _set_aside(stray.path, stray.error, part.project.settings, report)
    return report


@dataclass(frozen=True)
class _Read:
    """A file that was read ahead: its stamp before, and what is in it."""

    stamp: Stamp
    recording: Recording
    parts: list[Part]


class _Intake:
    """Files on their way into the lake as it is at a version of `recordings`."""

    def __init__(
        self, lake: Lake, settings: Settings, replace: bool, lost: Collection[Partition], files: Sequence[InboxFile]
    ) -> None:
        self.settings = settings
        self.replace = replace
        self.lost = lost
        self.report = IngestReport()
        self.landed: list[Landed] = []
        self.version = lake.recordings.version()
        self._known = Ingested(lake, {file.date for file in files})
        self._sessions = Sessions(lake, settings, self._known.placements, lost)
        self._renewed: set[str] = set()
        self._replaced: set[Key] = set()
        self._plan(files)

    def _plan(self, files: Sequence[InboxFile]) -> None:
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

    def read_ahead(self, files: Sequence[InboxFile]) -> dict[Path, _Read]:
        """Read the files that `take` will want; those with a fault are left to it."""
        ready = {}
        for file in files:
            before = _stamp(file.path)
            with contextlib.suppress(RecordingError), fault_of(file, self.settings), file.held():
                if before is not None and self._wants(file):
                    ready[file.path] = _Read(before, *self._read(file))
        return ready

    def _wants(self, file: InboxFile) -> bool:
        return not self._known.holds(file, replace=self.replace) or file.subject in self._renewed

    def _read(self, file: InboxFile) -> tuple[Recording, list[Part]]:
        recording = read_recording(file, self.settings)
        return recording, cut_at_midnight(file, recording, self.settings)

    def _is_lost(self, file: InboxFile) -> bool:
        return any(key[:2] in self.lost for key in self._known.keys(file))

    def take(self, file: InboxFile, ready: _Read | None) -> None:
        """Read a file, unless it was read ahead, and keep it for the commit; or report why not."""
        before = _stamp(file.path)
        if before is None:  # another run has moved it to quarantine since it was listed
            return
        is_known = False
        try:
            with fault_of(file, self.settings), file.held():
                is_known = self._known.holds(file, replace=self.replace)
                if is_known and file.subject not in self._renewed:
                    self.report.known.append(file.where)
                    self._see(file, before)
                    return
                if ready is not None and ready.stamp == before:
                    recording, parts = ready.recording, ready.parts
                else:
                    recording, parts = self._read(file)
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
