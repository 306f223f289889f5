"""Which columns of a generic table hold what: the options of the layouts `csv` and `parquet`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from har.errors import FileNameError, MissingColumnError
from har.recordings.layouts._layout import Source
from har.recordings.layouts._names import FIELDS, PathPattern
from har.recordings.layouts._option import option_error
from har.recordings.layouts._tables import apart as files_apart
from har.recordings.layouts._tables.apart import SensorFiles
from har.recordings.layouts._tables.clock import CLOCKS, UNITS, ClockOptions
from har.settings import MAX_CLOCK_OFFSET_S

OPTIONS = {
    "time": "column of the stamps, or two: Date,Time; default: recordings.time_column",
    "time-unit": "iso (text), s, ms, us, ns, or samples (no stamps; rows are counted at rate); default: "
    "recordings.time_unit",
    "time-format": "of text that is not ISO, such as '%d/%m/%Y %H:%M:%S%.f'",
    "clock": "dates, or device (stamps count from when the recording or the device was started, and dates are "
    "assigned); default: device if numbers are near 0",
    "rate": "samples per second, for time-unit=samples; default: sensors.rate_hz",
    "accelerometer": "its three columns, such as ax,ay,az; default: the channels in har.toml",
    "gyroscope": "its three columns, such as gx,gy,gz; default: the channels in har.toml",
    **files_apart.OPTIONS,
    "max-offset": "largest offset in s between the clocks of two sensors' files that is measured by their movements "
    "and corrected; 0: stamps are taken as they are; default: recordings.max_clock_offset_s",
    "pattern": "fields in the path, such as {subject}/{session}_{activity}.csv; default: {subject}_{session}.*",
    **{name: f"column of the {name}" for name in FIELDS},
    "subject-is": "the subject of all files",
    "session-is": "the session of all files",
    "activity-is": "the activity of all files",
    "placement-is": "the placement of the sensor in all files",
    "device-is": "the device of all files",
}


@dataclass(frozen=True)
class Columns:
    """Where the values of a generic file come from.

    Attributes:
        time: columns of the stamps, joined by a blank; none if samples are counted.
        clock: how stamps are written.
        rate_hz: of counted samples.
        sensors: columns by kind of sensor, in the project's order.
        apart: the names of the sensors' files, if each has its own.
        columns: column by field.
        constants: value for all files by field.
        pattern: the fields in paths.
        max_offset_s: the largest offset between the clocks of two sensors' files that is corrected.
    """

    time: str
    clock: ClockOptions
    rate_hz: float
    sensors: dict[str, tuple[str, ...]]
    apart: SensorFiles | None
    columns: dict[str, str]
    constants: dict[str, str]
    pattern: PathPattern
    max_offset_s: float

    @classmethod
    def of(cls, source: Source) -> Columns:
        """The mapping given by options and har.toml.

        Raises:
            SettingsError: an option has an invalid value, or one column is named for two sensors.
        """
        options, settings = source.options, source.settings
        unit = options.get("time-unit", "iso" if "time-format" in options else settings.recordings.time_unit)
        if unit not in UNITS:
            raise option_error("time-unit", ", ".join(UNITS), unit)
        if "time-format" in options and (unit != "iso" or "%" not in options["time-format"]):
            raise option_error("time-format", "strptime codes, with time-unit=iso", options["time-format"])
        clock = options.get("clock", "auto")
        if clock not in CLOCKS:
            raise option_error("clock", "dates or device", clock)
        columns = {name: options[name] for name in FIELDS if name in options}
        if "activity" not in columns and "activity-is" not in options:
            columns["activity"] = settings.recordings.activity_column
        sensors = _sensors(source)
        for name, column in columns.items():
            if any(column in channels for channels in sensors.values()):
                raise option_error(name, "a column that is no sensor's", column)
        apart = _sensors_apart(source, sensors)
        if apart and len({"subject", "session", "placement", "device"} & set(columns)):
            raise option_error(
                "gyroscope-file",
                "subject, session, placement and device from the path, where sensors have own files",
                ", ".join(f"{name}={column}" for name, column in columns.items()),
            )
        return cls(
            time="" if unit == "samples" else options.get("time", settings.recordings.time_column),
            clock=ClockOptions(
                unit,
                options.get("time-format", ""),
                clock,
                1 / settings.recordings.max_gap_s,
                "," if options.get("decimal") in ("comma", ",") else ".",
            ),
            rate_hz=_rate(options.get("rate", str(settings.sensors.rate_hz))),
            sensors=sensors,
            apart=apart,
            columns=columns,
            constants={name: options[f"{name}-is"] for name in FIELDS if f"{name}-is" in options},
            pattern=PathPattern(options.get("pattern", "{subject}_{session}.*")),
            max_offset_s=offset_s(options.get("max-offset", str(settings.recordings.max_clock_offset_s))),
        )

    def choose(self, files: list[Path]) -> list[Path]:
        """The files that are read one by one: with files apart, those of the accelerometer."""
        return files if self.apart is None else self.apart.accelerometers(files)

    def channels(self, kinds: Collection[str]) -> list[str]:
        """The columns of these sensors."""
        return [name for kind, columns in self.sensors.items() if kind in kinds for name in columns]

    def times(self, header: Collection[str]) -> list[str]:
        """The columns of the stamps."""
        if not self.time:
            return []
        return [self.time] if self.time in header else [name.strip() for name in self.time.split(",")]

    def fields(self, header: Collection[str]) -> dict[str, str]:
        """The columns of subject, session, activity, placement and device; that of activities is optional."""
        return {name: column for name, column in self.columns.items() if name != "activity" or column in header}

    def from_path(self, path: Path, source: Source) -> dict[str, str]:
        """The fields in the path; it must match only if the subject comes from nowhere else, or a pattern was given.

        Raises:
            FileNameError: it does not match.
            MissingColumnError: nothing names the subject.
        """
        known = {*self.columns, *self.constants}
        fields = {}
        if "pattern" in source.options or "subject" not in known:
            try:
                fields = self.pattern.parse(path)
            except FileNameError as error:
                if "pattern" in source.options:
                    raise
                raise FileNameError(
                    where=error.where,
                    expected="a name <subject>_<session>",
                    got=error.got,
                    remedy=error.remedy[:-1] + ", or -o subject=COLUMN, or -o subject-is=s01.",
                ) from error
        if "subject" not in {*fields, *known}:
            raise MissingColumnError(
                where=str(path),
                expected="a subject",
                got="none in the path, and no column for it",
                remedy="Add -o subject=COLUMN, -o subject-is=s01, or {subject} to the pattern.",
            )
        return fields


def _sensors(source: Source) -> dict[str, tuple[str, ...]]:
    sensors: dict[str, tuple[str, ...]] = {}
    for kind in ("accelerometer", "gyroscope"):
        sensor = getattr(source.settings.sensors, kind)
        if sensor is None:
            continue
        columns = sensor.channels
        if kind in source.options:
            columns = tuple(name.strip() for name in source.options[kind].split(","))
        if len(columns) != 3 or len(set(columns)) != 3:
            raise option_error(kind, "three columns, such as ax,ay,az", ",".join(columns))
        sensors[kind] = columns
        time = source.options.get("time", "")
        if twice := {time, *(name.strip() for name in time.split(","))} & set(columns):
            raise option_error("time", f"a column that is no channel of the {kind}", twice.pop())
    return sensors


def _sensors_apart(source: Source, sensors: dict[str, tuple[str, ...]]) -> SensorFiles | None:
    """The names of the sensors' files if each has its own: as options say, or because the columns have one name."""
    named = [name for name in files_apart.OPTIONS if name in source.options]
    if len(sensors) < 2:
        (kind,) = sensors
        if named and named != [f"{kind}-file"]:
            raise option_error(
                named[-1], f"{kind}-file only: the project has no other sensor", source.options[named[-1]]
            )
        return SensorFiles(source.options[f"{kind}-file"]) if named else None
    shared = set(sensors["accelerometer"]) & set(sensors["gyroscope"])
    if shared and len(shared) < 3:
        raise option_error(
            "gyroscope",
            "three columns that are not the accelerometer's: one column cannot be two sensors",
            ",".join(sensors["gyroscope"]),
        )
    return SensorFiles.of(source.options) if shared or named else None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e5:
        raise option_error("rate", "samples per second", text)
    return rate


def offset_s(text: str) -> float:
    """The largest offset of two clocks that an option allows, in s.

    Raises:
        SettingsError: it is no such number.
    """
    try:
        offset = float(text)
    except ValueError:
        offset = -1.0
    if not 0 <= offset <= MAX_CLOCK_OFFSET_S:
        raise option_error("max-offset", f"seconds, 0 to {MAX_CLOCK_OFFSET_S:g}", text)
    return offset
