"""Read and convert all recordings of an import, and check them with the reader of `har ingest`."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path

import polars as pl

from har.errors import RecordingError
from har.importing._arguments import check_arguments
from har.importing._axes import check_axes, turned
from har.importing._checks import clipped, refuse_implausible, refuse_loss, refuse_mixed_rates, repeated
from har.importing._kinds import refuse_other_kinds
from har.importing._labels import Labels
from har.importing._messages import as_refusal, nothing_found, of_source, two_sessions
from har.importing._names import Subjects, session_name, taken
from har.importing._passed import passed_over
from har.importing._staged import Draft, Refused, Survey
from har.importing._table import inbox_table, parts
from har.recordings import NOTES, InboxFile, Quality, read_recording
from har.recordings.layouts import Layout, RawRecording, Source
from har.settings import Settings

DAY_BEGINS_H = 8
"""Hour in the project's time zone at which a subject's first recording starts on an assigned date."""
ASSIGNED_FROM = dt.date(2024, 1, 1)
"""Default date of recordings without dates."""
_PAUSE_S = 60
"""Between two recordings on an assigned date."""


def survey(  # noqa: PLR0913  the options of one command
    layout: Layout,
    path: Path,
    settings: Settings,
    staging: Path,
    *,
    options: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    first_day: dt.date = ASSIGNED_FROM,
    inbox: bool = True,
) -> Survey:
    """Read all recordings in `path` and stage those that `har ingest` would accept.

    Args:
        layout: the reader.
        path: the folder or file to import.
        settings: units, columns and activities of the inbox files.
        staging: an empty folder, on any disk.
        options: the reader's options.
        names: activity by label; "" leaves the samples unlabelled.
        units: unit by sensor ("accelerometer", "gyroscope"), where the values are not in the reader's unit.
        axes: axes by sensor, such as "y,-x,z", where the device names or turns them otherwise.
        first_day: the date of recordings without dates.
        inbox: refuse what does not go with the recordings that the inbox has.

    Returns:
        The staged and refused files; unknown labels are in `labels.unknown`, their samples are staged unlabelled.

    Raises:
        SettingsError: an option, a unit or an activity does not exist, or there is no file of the layout.
        NotARecordingError: there is none, but an export of a health app without raw samples.
        LakeError: the temporary folder is full.
    """
    options, units = dict(options or {}), dict(units or {})
    check_arguments(layout, path, settings, options, units)
    check_axes(axes or {})
    source = Source(path, options, settings)
    result = Survey(labels=Labels.of(settings.activities.all, names or {}))
    files = list(layout.find(source))
    with ThreadPoolExecutor(1, "check") as beside:
        run = _Run(settings, staging, units, axes or {}, first_day=first_day, result=result, beside=beside)
        for file in files:
            if file.name.startswith("._") or "__MACOSX" in file.parts:
                result.faults["AppleDouble files, skipped"] += 1
            else:
                run.read(file, layout, source)
    result.passed = passed_over(source, files)
    if not files:
        raise nothing_found(layout, path, result.passed, source.tree.files if path.is_dir() else [path])
    run.finish(settings.path("inbox") if inbox else None)
    return result


class _Run:
    """One survey: stages recordings one by one, and assigns dates to those without.

    While a recording is read and converted, another thread checks the one before: each takes about half of the time.
    """

    def __init__(
        self,
        settings: Settings,
        staging: Path,
        units: Mapping[str, str],
        axes: Mapping[str, str],
        *,
        first_day: dt.date,
        result: Survey,
        beside: Executor,
    ) -> None:
        self.settings = settings
        self.staging = staging
        self.units = units
        self.axes = axes
        self.first_day = first_day
        self.result = result
        self._beside = beside
        self._next_free_us: dict[str, int] = {}
        self._subjects = Subjects()
        self._paths: dict[str, str] = {}

    def refuse(self, where: str, error: RecordingError) -> None:
        self.result.refused.append(Refused(where, error))
        self.result.faults[f"refused: {type(error).__name__.removesuffix('Error')}"] += 1

    def read(self, file: Path, layout: Layout, source: Source) -> None:
        """Convert a file's recordings, all or none, and stage those that `har ingest` would accept."""
        before = self.result.counts()
        drafts: list[_Judged] = []
        try:
            refuse_other_kinds(file, layout)
            self._convert(layout.read(file, source), drafts)
        except (Exception, pl.exceptions.PanicException) as error:
            refusal = as_refusal(str(file), layout, error)
            for draft, verdict in drafts:
                if not verdict.cancel():
                    wait([verdict])
                draft.file.path.unlink()
                self._paths.pop(str(draft.file.path).casefold())
            if refusal is None:
                raise
            self.result.restore(before)
            self.refuse(str(file), refusal)
            return
        for draft, verdict in drafts:
            self._take(draft, verdict.result())

    def _convert(self, recordings: Iterable[RawRecording], drafts: list[_Judged]) -> None:
        for raw in recordings:
            self.result.faults.update(raw.faults)
            try:
                for piece in parts(turned(raw, self.axes), self.settings):
                    try:
                        draft = self._draft(piece)
                    except RecordingError as error:
                        self.refuse(raw.where, error)
                        continue
                    drafts.append((draft, self._beside.submit(_judge, draft, self.settings)))
            except RecordingError as error:
                self.refuse(raw.where, error)

    def finish(self, inbox: Path | None) -> None:
        """Refuse the recordings that only the whole folder, or the inbox, shows to be wrong."""
        found = [*self._subjects.conflicts(self.result.staged, inbox)]
        if inbox is not None:
            found += taken(self.result.staged, inbox)
        for staged, error in found:
            if staged in self.result.staged:
                self.result.staged.remove(staged)
                staged.file.path.unlink()
                self.refuse(staged.source, error)
        self.result.renamed = self._subjects.renamed(self.result.staged)

    def _draft(self, raw: RawRecording) -> Draft:
        settings = self.settings
        refuse_implausible(raw, settings.recordings.max_gap_s)
        refuse_mixed_rates(raw, settings.recordings.max_gap_s)
        subject, session = self._subjects.name(raw), session_name(raw)
        start_us = self._start_us(subject, raw)
        table, date = inbox_table(raw, start_us, settings, self.units, self.result.labels)
        path = self.staging / date.isoformat() / f"{subject}_{session}.parquet"
        earlier = self._paths.setdefault(str(path).casefold(), raw.where)
        if path.exists() or earlier != raw.where:
            raise two_sessions(raw.where, earlier, subject, session, date)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path, compression="zstd", metadata={NOTES: json.dumps(raw.notes)} if raw.notes else None)
        faults = clipped(raw)
        faults += Counter({"samples that repeat the previous values": repeated(raw)})
        return Draft(
            InboxFile(path, date, subject, session),
            raw.where,
            raw.clock,
            _seconds(raw),
            self._sensors(raw),
            raw.placement,
            raw.device,
            faults,
        )

    def _take(self, draft: Draft, quality: Quality | RecordingError) -> None:
        """Stage a draft that `har ingest` would accept; else refuse it."""
        if isinstance(quality, RecordingError):
            draft.file.path.unlink()
            self.refuse(draft.source, of_source(draft, quality))
            return
        self.result.staged.append(draft.staged(quality))
        self.result.faults.update(draft.faults)
        self.result.faults.update(
            +Counter(
                {
                    "duplicate rows, dropped": quality.duplicates,
                    "rows with the stamp of another row, dropped": quality.duplicate_stamps,
                    "rows out of order, sorted": quality.reordered,
                    f"gaps longer than {self.settings.recordings.max_gap_s:g} s": quality.gaps,
                    "samples at full scale": quality.saturated,
                    "samples of a stuck sensor": quality.stuck,
                    "samples without a label": quality.unlabelled,
                    "rows with the stamp of others, spread over the time between stamps": quality.stamps_spread,
                    "samples to interpolate": quality.interpolated,
                    **Counter(f"recordings of which this is odd: {note}" for note in quality.notes),
                }
            )
        )

    def _start_us(self, subject: str, raw: RawRecording) -> int | None:
        """The assigned start of a recording without dates, in µs UTC: after the subject's previous one."""
        if raw.clock == "utc":
            return None
        begin = dt.datetime.combine(self.first_day, dt.time(DAY_BEGINS_H), self.settings.project.zone)
        start = self._next_free_us.get(subject, int(begin.timestamp()) * 1_000_000)
        minutes = int(_seconds(raw) + _PAUSE_S) // 60 + 1
        self._next_free_us[subject] = start + minutes * 60_000_000
        return start

    def _sensors(self, raw: RawRecording) -> dict[str, str]:
        signals = {"accelerometer": raw.accelerometer, "gyroscope": raw.gyroscope}
        return {name: self.units.get(name, one.unit) for name, one in signals.items() if one is not None}


_Judged = tuple[Draft, "Future[Quality | RecordingError]"]


def _judge(draft: Draft, settings: Settings) -> Quality | RecordingError:
    """The quality of a draft, or why `har ingest` would refuse it."""
    try:
        quality = read_recording(draft.file, settings).quality
        refuse_loss(draft.source, quality)
    except RecordingError as error:
        return error
    return quality


def _seconds(raw: RawRecording) -> float:
    return float(raw.times_us.max() - raw.times_us.min()) / 1e6
