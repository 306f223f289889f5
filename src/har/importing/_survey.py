"""Read and convert all recordings of an import, and check them with the reader of `har ingest`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from har.errors import ConflictingRecordingError, LakeError, RecordingError, SettingsError, UnitError
from har.importing._checks import clipped, refuse_mixed_rates, refuse_non_recording, repeated
from har.importing._labels import Labels
from har.importing._plausible import implausible
from har.importing._table import inbox_table, parts
from har.recordings import InboxFile, Quality, read_recording
from har.recordings.layouts import Layout, RawRecording, Source
from har.recordings.layouts._names import plain
from har.settings import Settings

DAY_BEGINS_H = 8
"""Hour in the project's time zone at which a subject's first recording starts on an assigned date."""
ASSIGNED_FROM = dt.date(2024, 1, 1)
"""Default date of recordings without dates."""
_PAUSE_S = 60
"""Between two recordings on an assigned date."""


@dataclass(frozen=True)
class Staged:
    """A file that can be written to the inbox, and its quality.

    Attributes:
        file: its path in the staging folder, date, subject and session.
        source: the file that it was made from.
        clock: whether its dates were recorded ("utc") or assigned ("device", "counted").
        seconds: duration from first to last sample.
        quality: counts from cleaning.
        sensors: the unit of the source by sensor.
        placement, device: as given by the reader.
    """

    file: InboxFile
    source: str
    clock: str
    seconds: float
    quality: Quality
    sensors: Mapping[str, str]
    placement: str
    device: str


@dataclass(frozen=True)
class Refused:
    """A file, or one recording of it, that cannot be imported, and the reason."""

    source: str
    error: RecordingError


@dataclass
class Survey:
    """The result of `survey`.

    Attributes:
        staged: the files that can be written.
        refused: the files and recordings that cannot be imported.
        faults: number of faults by description.
        labels: the labels, their activities and numbers of samples.
    """

    staged: list[Staged] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    labels: Labels = field(default_factory=Labels)

    @property
    def hours(self) -> float:
        """Hours recorded, gaps included."""
        return sum(one.seconds for one in self.staged) / 3600


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
        LakeError: the disk refuses to read a file.
    """
    options, units = dict(options or {}), dict(units or {})
    _check(layout, path, settings, options, units)
    source = Source(path, options, settings)
    result = Survey(labels=Labels.of(settings.activities.all, names or {}))
    run = _Run(settings, staging, units, first_day, result)
    files = list(layout.find(source))
    for file in files:
        where = str(file)
        if file.name.startswith("._") or "__MACOSX" in file.parts:
            result.faults["AppleDouble files, skipped"] += 1
            continue
        try:
            refuse_non_recording(file)
            recordings = list(layout.read(file, source))
        except RecordingError as error:
            run.refuse(where, error)
            continue
        except OSError as error:
            raise LakeError.unreadable(file, error) from error
        for recording in recordings:
            run.add(recording)
    if not files:
        raise SettingsError(
            where=str(path),
            expected=f"files of the layout {layout.name}: {layout.title}",
            got="none",
            remedy="Check the path; `har import --list` describes the layouts.",
        )
    return result


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

    def refuse(self, where: str, error: RecordingError) -> None:
        self.result.refused.append(Refused(where, error))
        self.result.faults[f"refused: {type(error).__name__.removesuffix('Error')}"] += 1

    def add(self, raw: RawRecording) -> None:
        """Stage a recording, or those of its parts that can be imported."""
        self.result.faults.update(raw.faults)
        try:
            pieces = list(parts(raw, self.settings))
        except RecordingError as error:
            self.refuse(raw.where, error)
            return
        for piece in pieces:
            try:
                self._stage(piece)
            except RecordingError as error:
                self.refuse(raw.where, error)

    def _stage(self, raw: RawRecording) -> None:
        settings = self.settings
        refuse_mixed_rates(raw, settings.recordings.max_gap_s)
        subject, session = plain(raw.subject), plain(raw.session, underscore=True)
        start_us = self._start_us(subject, raw)
        table, date = inbox_table(raw, start_us, settings, self.units, self.result.labels)
        path = self.staging / date.isoformat() / f"{subject}_{session}.parquet"
        if path.exists():
            raise ConflictingRecordingError(
                where=raw.where,
                expected=f"one session {session!r} of subject {subject!r} on {date}",
                got="two",
                remedy="Give them different sessions, with the layout's options such as pattern or session.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path, compression="zstd")
        file = InboxFile(path, date, subject, session)
        try:
            recording = read_recording(file, settings)
        except UnitError as error:
            path.unlink()
            raise UnitError(
                where=raw.where,
                expected=error.expected,
                got=error.got.split(" when read as")[0] + f" when read as {self._unit(raw)}",
                remedy=_unit_remedy(error),
            ) from error
        except RecordingError:
            path.unlink()
            raise
        self.result.faults.update(implausible(recording, settings))
        self._count(
            Staged(
                file,
                raw.where,
                raw.clock,
                _seconds(raw),
                recording.quality,
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


def _check(
    layout: Layout, path: Path, settings: Settings, options: Mapping[str, str], units: Mapping[str, str]
) -> None:
    for name in options:
        if name not in layout.options:
            known = "; ".join(f"{key}: {text}" for key, text in layout.options.items())
            raise SettingsError(
                where=f"har import {layout.name}",
                expected=f"one of the options {', '.join(layout.options)}" if known else "no option",
                got=name,
                remedy=known or "Leave it out.",
            )
    for sensor, unit in units.items():
        kinds = {"accelerometer": ("g", "mg", "m/s^2"), "gyroscope": ("rad/s", "deg/s")}
        if sensor not in kinds or unit not in kinds[sensor]:
            raise SettingsError(
                where="har import, --unit",
                expected="accelerometer=g, mg or m/s^2, or gyroscope=rad/s or deg/s",
                got=f"{sensor}={unit}",
                remedy="Name the sensor and the actual unit of its values.",
            )
    if settings.sensors.further:
        raise SettingsError(
            where="har.toml, sensors.further",
            expected="no further channels, since readers provide acceleration and angular rate only",
            got=", ".join(one.name for one in settings.sensors.further),
            remedy="Write the inbox files yourself, with a column for every channel in har.toml.",
        )
    for one in settings.sensors.all:
        if len(one.channels) != 3:
            raise SettingsError(
                where="har.toml",
                expected="3 channels per sensor (x, y, z), as readers provide them",
                got=f"{len(one.channels)}: {', '.join(one.channels)}",
                remedy="Set sensors.….channels, or write the inbox files yourself.",
            )
    if not path.exists():
        raise SettingsError(where=str(path), expected="a folder or file", got="no such path", remedy="Check the path.")


def _unit_remedy(error: UnitError) -> str:
    for unit in ("m/s^2", "mg", "g"):
        if f"look like {unit}:" in error.remedy:
            return f"The values look like {unit}: add --unit accelerometer={unit}."
    return "Name the unit of the values: --unit accelerometer=g, mg or m/s^2; they must include gravity."
