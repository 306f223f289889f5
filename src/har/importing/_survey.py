"""Read and convert all recordings of an import, and check them with the reader of `har ingest`."""

from __future__ import annotations

import datetime as dt
import errno
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from har.errors import (
    ConflictingRecordingError,
    HarError,
    LakeError,
    NotARecordingError,
    RangeError,
    RecordingError,
    SettingsError,
    UnitError,
    reason,
)
from har.importing._arguments import check_arguments
from har.importing._checks import clipped, refuse_implausible, refuse_loss, refuse_mixed_rates, repeated
from har.importing._kinds import refuse_other_kinds
from har.importing._labels import Labels
from har.importing._names import Subjects, session_name, taken
from har.importing._passed import Passed, passed_over
from har.importing._staged import Refused, Staged, Survey
from har.importing._table import inbox_table, parts
from har.recordings import InboxFile, read_recording
from har.recordings.layouts import Layout, RawRecording, Source
from har.settings import Settings

DAY_BEGINS_H = 8
"""Hour in the project's time zone at which a subject's first recording starts on an assigned date."""
ASSIGNED_FROM = dt.date(2024, 1, 1)
"""Default date of recordings without dates."""
_PAUSE_S = 60
"""Between two recordings on an assigned date."""
_PASSED_SHOWN = 5


def survey(
    layout: Layout,
    path: Path,
    settings: Settings,
    staging: Path,
    *,
    options: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    first_day: dt.date = ASSIGNED_FROM,
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
        first_day: the date of recordings without dates.

    Returns:
        The staged and refused files; unknown labels are in `labels.unknown`, their samples are staged unlabelled.

    Raises:
        SettingsError: an option, a unit or an activity does not exist, or there is no file of the layout.
        LakeError: the temporary folder is full.
    """
    options, units = dict(options or {}), dict(units or {})
    check_arguments(layout, path, settings, options, units)
    source = Source(path, options, settings)
    result = Survey(labels=Labels.of(settings.activities.all, names or {}))
    run = _Run(settings, staging, units, first_day, result)
    files = list(layout.find(source))
    for file in files:
        if file.name.startswith("._") or "__MACOSX" in file.parts:
            result.faults["AppleDouble files, skipped"] += 1
        else:
            run.read(file, layout, source)
    result.passed = passed_over(source, files)
    if not files:
        raise _nothing(layout, path, result.passed)
    run.finish()
    return result


def _nothing(layout: Layout, path: Path, passed: Sequence[Passed]) -> SettingsError:
    others = "; ".join(str(one) for one in passed[:_PASSED_SHOWN])
    return SettingsError(
        where=str(path),
        expected=f"files of the layout {layout.name}: {layout.title}",
        got=others or "an empty folder",
        remedy="Check the path; `har import --list` describes the layouts.",
    )


class _Run:
    """One survey: stages recordings one by one, and assigns dates to those without."""

    def __init__(
        self, settings: Settings, staging: Path, units: Mapping[str, str], first_day: dt.date, result: Survey
    ) -> None:
        self.settings = settings
        self.staging = staging
        self.units = units
        self.first_day = first_day
        self.result = result
        self._next_free_us: dict[str, int] = {}
        self._subjects = Subjects()
        self._paths: dict[str, str] = {}

    def refuse(self, where: str, error: RecordingError) -> None:
        self.result.refused.append(Refused(where, error))
        self.result.faults[f"refused: {type(error).__name__.removesuffix('Error')}"] += 1

    def read(self, file: Path, layout: Layout, source: Source) -> None:
        """Stage a file's recordings one by one; all of them, or none if the file fails."""
        before = self.result.counts()
        where = str(file)
        try:
            refuse_other_kinds(file, layout.name)
            for recording in layout.read(file, source):
                self.add(recording)
            return
        except RecordingError as error:
            refusal = error
        except (HarError, MemoryError):
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise LakeError.refused(tempfile.gettempdir(), error) from error
            refusal: RecordingError = _unreadable(where, error)
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001  a fault in one file is that file's
            refusal = _crashed(where, layout, error)
        for staged in self.result.restore(before):
            staged.file.path.unlink()
            self._paths.pop(str(staged.file.path).casefold())
        self.refuse(where, refusal)

    def add(self, raw: RawRecording) -> None:
        """Stage a recording, or those of its parts that can be imported."""
        self.result.faults.update(raw.faults)
        try:
            for piece in parts(raw, self.settings):
                try:
                    self._stage(piece)
                except RecordingError as error:
                    self.refuse(raw.where, error)
        except RecordingError as error:
            self.refuse(raw.where, error)

    def finish(self) -> None:
        """Refuse the recordings that only the whole folder shows to be wrong."""
        for staged, error in [
            *self._subjects.conflicts(self.result.staged, self.settings.path("inbox")),
            *taken(self.result.staged, self.settings.path("inbox")),
        ]:
            if staged in self.result.staged:
                self.result.staged.remove(staged)
                staged.file.path.unlink()
                self.refuse(staged.source, error)
        self.result.renamed = self._subjects.renamed(self.result.staged)

    def _stage(self, raw: RawRecording) -> None:
        settings = self.settings
        refuse_implausible(raw, settings.recordings.max_gap_s)
        refuse_mixed_rates(raw, settings.recordings.max_gap_s)
        subject, session = self._subjects.name(raw), session_name(raw)
        start_us = self._start_us(subject, raw)
        table, date = inbox_table(raw, start_us, settings, self.units, self.result.labels)
        path = self.staging / date.isoformat() / f"{subject}_{session}.parquet"
        earlier = self._paths.get(str(path).casefold())
        if earlier is not None:
            raise ConflictingRecordingError(
                where=raw.where,
                expected=f"one session {session!r} of subject {subject!r} on {date}",
                got=f"another one from {earlier}",
                remedy="Give them different sessions: -o 'pattern={subject}/{session}.csv' or another pattern that tells "
                "them apart.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path, compression="zstd")
        del table
        file = InboxFile(path, date, subject, session)
        try:
            quality = read_recording(file, settings).quality
            refuse_loss(raw.where, quality)
        except UnitError as error:
            path.unlink()
            raise UnitError(
                where=raw.where,
                expected=error.expected,
                got=error.got.split(" when read as")[0] + f" when read as {self._unit(raw)}",
                remedy=_unit_remedy(error),
            ) from error
        except RangeError as error:
            path.unlink()
            raise _range_error(raw.where, error) from error
        except RecordingError:
            path.unlink()
            raise
        self._paths[str(path).casefold()] = raw.where
        self._count(
            Staged(
                file,
                raw.where,
                raw.clock,
                _seconds(raw),
                quality,
                self._sensors(raw),
                raw.placement,
                raw.device,
            ),
            raw,
        )

    def _count(self, staged: Staged, raw: RawRecording) -> None:
        quality = staged.quality
        self.result.staged.append(staged)
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
                    "samples that repeat the previous values": repeated(raw),
                }
            )
        )
        self.result.faults.update(clipped(raw))

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

    def _unit(self, raw: RawRecording) -> str:
        return self._sensors(raw).get("accelerometer", "")


def _seconds(raw: RawRecording) -> float:
    return float(raw.times_us.max() - raw.times_us.min()) / 1e6


def _unreadable(where: str, error: OSError) -> NotARecordingError:
    return NotARecordingError(
        where=where,
        expected="a file that can be read",
        got=reason(error),
        remedy="Check that you may read it, and that it is still there.",
    )


def _crashed(where: str, layout: Layout, error: BaseException) -> RecordingError:
    return RecordingError(
        where=where,
        expected="recordings, or a RecordingError that says what is wrong",
        got=f"{type(error).__name__}: {reason(error)}",
        remedy=f"This is a fault in the reader {layout.name}, which did not foresee this file: please report it with the "
        "file, or correct the reader if it is yours.",
    )


def _range_error(where: str, error: RangeError) -> RangeError:
    """As of the inbox, without the advice to change har.toml or to delete lines of a file that was not written."""
    sensor = "gyroscope" if "gyroscope" in error.remedy else "accelerometer"
    other = "deg/s" if sensor == "gyroscope" else "mg"
    return RangeError(
        where=where,
        expected=error.expected,
        got=f"{error.got} in {error.where.rpartition('column ')[2]}",
        remedy=f"If the values are in another unit, add --unit {sensor}={other}; if the sensor has a larger range, set "
        f"sensors.{sensor}.full_scale in har.toml.",
    )


def _unit_remedy(error: UnitError) -> str:
    for unit in ("m/s^2", "mg", "g"):
        if f"look like {unit}:" in error.remedy:
            return f"The values look like {unit}: add --unit accelerometer={unit}."
    return "Name the unit of the values: --unit accelerometer=g, mg or m/s^2; they must include gravity."
