"""What an import finds: every recording read, converted and held against the reader of `har ingest`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from har.errors import ConflictingRecordingError, LakeError, RecordingError, SettingsError, UnitError
from har.importing._checks import clipped, refuse_foreign, refuse_mixed_rates, repeated
from har.importing._labels import Labels
from har.importing._table import inbox_table, parts
from har.recordings import InboxFile, Quality, read_recording
from har.recordings.layouts import Layout, RawRecording, Source
from har.recordings.layouts._names import plain
from har.settings import Settings

DAY_BEGINS_H = 8
"""Hour, in the project's time zone, at which a subject's recordings begin on a day that the import assigned."""
ASSIGNED_FROM = dt.date(2024, 1, 1)
"""First date that is assigned to recordings without dates."""
_PAUSE_S = 60
"""Between two recordings on an assigned day."""


@dataclass(frozen=True)
class Staged:
    """One file that can be written, and what `har ingest` will find in it.

    Attributes:
        file: where it lies now, in the staging folder; its date, subject and session.
        source: the file it was made from.
        clock: whether its dates are its own ("utc") or assigned ("device", "counted").
        seconds: from first to last sample.
        quality: what cleaning finds.
        sensors: the sensors that it has, with the unit they came in.
        placement, device: as the reader names them.
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
    """A file, or a recording of it, that cannot be taken, and why."""

    source: str
    error: RecordingError


@dataclass
class Survey:
    """What an import found.

    Attributes:
        staged: the files that can be written.
        refused: what cannot be taken.
        faults: how often each fault was met, by its words.
        labels: the labels met, the project's names for them and their samples.
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
    """Read all of `path` and stage what `har ingest` would take.

    Args:
        layout: the reader.
        path: the folder or file to import.
        settings: units, columns and activities of the inbox files.
        staging: an empty folder, on any disk.
        options: the reader's own options.
        names: the project's activity for a label; "" leaves its samples unlabelled.
        units: per sensor ("accelerometer", "gyroscope"), the unit of the values where the reader states another.
        first_day: the date of recordings that have none.

    Returns:
        What was found; labels without a name in the project are in `labels.unknown`, their samples staged unlabelled.

    Raises:
        SettingsError: an option, a unit or an activity that does not exist, a path without any file of the layout.
        LakeError: the disk does not give a file out.
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
            result.faults["AppleDouble files passed over"] += 1
            continue
        try:
            refuse_foreign(file)
            recordings = list(layout.read(file, source))
        except RecordingError as error:
            run.refuse(where, error)
            continue
        except OSError as error:
            raise _unreadable(file, error) from error
        for found in recordings:
            run.take(found)
    if not files:
        raise SettingsError(
            where=str(path),
            expected=f"files of the layout {layout.name}: {layout.title}",
            got="none",
            remedy="Check the path; `har import --list` says what each layout reads.",
        )
    return result


class _Run:
    """One survey: takes recordings one after the other, and gives those without a date their place in time."""

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

    def take(self, found: RawRecording) -> None:
        """Stage a recording; of one that is cut into parts, each that can be taken."""
        self.result.faults.update(found.faults)
        try:
            pieces = list(parts(found, self.settings))
        except RecordingError as error:
            self.refuse(found.where, error)
            return
        for piece in pieces:
            try:
                self._stage(piece)
            except RecordingError as error:
                self.refuse(found.where, error)

    def _stage(self, found: RawRecording) -> None:
        settings = self.settings
        refuse_mixed_rates(found, settings.recordings.max_gap_s)
        subject, session = plain(found.subject), plain(found.session, underscore=True)
        start_us = self._start_us(subject, found)
        table, date = inbox_table(found, start_us, settings, self.units, self.result.labels)
        path = self.staging / date.isoformat() / f"{subject}_{session}.parquet"
        if path.exists():
            raise ConflictingRecordingError(
                where=found.where,
                expected=f"one session {session!r} of subject {subject!r} on {date}",
                got="two",
                remedy="Tell them apart by the session: see the layout's options, such as pattern or session.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path, compression="zstd")
        file = InboxFile(path, date, subject, session)
        try:
            quality = read_recording(file, settings).quality
        except UnitError as error:
            path.unlink()
            raise UnitError(
                where=found.where,
                expected=error.expected,
                got=error.got.split(" when read as")[0] + f" when taken for {self._unit(found)}",
                remedy=_unit_remedy(error),
            ) from error
        except RecordingError:
            path.unlink()
            raise
        self._add(
            Staged(
                file,
                found.where,
                found.clock,
                _seconds(found),
                quality,
                self._sensors(found),
                found.placement,
                found.device,
            ),
            found,
        )

    def _add(self, staged: Staged, found: RawRecording) -> None:
        quality = staged.quality
        self.result.staged.append(staged)
        self.result.faults.update(
            +Counter(
                {
                    "rows repeated as a whole, dropped": quality.duplicates,
                    "rows with a stamp seen before, dropped": quality.duplicate_stamps,
                    "rows out of order, sorted": quality.reordered,
                    f"gaps longer than {self.settings.recordings.max_gap_s:g} s": quality.gaps,
                    "samples at full scale": quality.saturated,
                    "samples of a stuck sensor": quality.stuck,
                    "samples without a label": quality.unlabelled,
                    "samples that repeat the one before": repeated(found),
                }
            )
        )
        self.result.faults.update(clipped(found))

    def _start_us(self, subject: str, found: RawRecording) -> int | None:
        """When a recording without dates is said to begin, µs UTC: after the subject's last."""
        if found.clock == "utc":
            return None
        zone = dt.UTC if self.settings.project.timezone == "UTC" else ZoneInfo(self.settings.project.timezone)
        begin = dt.datetime.combine(self.first_day, dt.time(DAY_BEGINS_H), zone)
        start = self._next_free_us.get(subject, int(begin.timestamp()) * 1_000_000)
        minutes = int(_seconds(found) + _PAUSE_S) // 60 + 1
        self._next_free_us[subject] = start + minutes * 60_000_000
        return start

    def _sensors(self, found: RawRecording) -> dict[str, str]:
        signals = {"accelerometer": found.accelerometer, "gyroscope": found.gyroscope}
        return {name: self.units.get(name, one.unit) for name, one in signals.items() if one is not None}

    def _unit(self, found: RawRecording) -> str:
        return self._sensors(found).get("accelerometer", "")


def _seconds(found: RawRecording) -> float:
    return float(found.times_us.max() - found.times_us.min()) / 1e6


def _check(
    layout: Layout, path: Path, settings: Settings, options: Mapping[str, str], units: Mapping[str, str]
) -> None:
    for name in options:
        if name not in layout.options:
            known = "; ".join(f"{key}: {text}" for key, text in layout.options.items())
            raise SettingsError(
                where=f"har import {layout.name}",
                expected=f"options among {', '.join(layout.options)}" if known else "no option",
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
                remedy="Name the sensor and the unit that its values really are in.",
            )
    if settings.sensors.further:
        raise SettingsError(
            where="har.toml, sensors.further",
            expected="no further channels, since readers give acceleration and angular rate only",
            got=", ".join(one.name for one in settings.sensors.further),
            remedy="Write the inbox files yourself: a column for every channel that har.toml names.",
        )
    for one in settings.sensors.all:
        if len(one.channels) != 3:
            raise SettingsError(
                where="har.toml",
                expected="3 channels per sensor (x, y, z), as readers give them",
                got=f"{len(one.channels)}: {', '.join(one.channels)}",
                remedy="Set sensors.….channels, or write the inbox files yourself.",
            )
    if not path.exists():
        raise SettingsError(where=str(path), expected="a folder or file", got="none", remedy="Check the path.")


def _unit_remedy(error: UnitError) -> str:
    for unit in ("m/s^2", "mg", "g"):
        if f"look like {unit}:" in error.remedy:
            return f"The values look like {unit}: add --unit accelerometer={unit}."
    return "Say which unit the values are in: --unit accelerometer=g, mg or m/s^2; gravity must be part of them."


def _unreadable(path: Path, error: OSError) -> LakeError:
    return LakeError(
        where=str(path),
        expected="a file that can be read",
        got=error.strerror or str(error),
        remedy="Check that it is still there and may be read, then run the same command again.",
    )
