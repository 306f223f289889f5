"""What the layouts `csv` and `parquet` share: the options that name columns, and recordings from a table of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import MissingColumnError
from har.recordings._stamps import utc_microseconds
from har.recordings._table import Parsed
from har.recordings.layouts._layout import Clock, RawRecording, Signal, Source, option_error, sample_times
from har.recordings.layouts._names import FIELDS, PathPattern
from har.recordings.layouts._text import Rows

OPTIONS = {
    "time": "column of the stamps; default: recordings.time_column",
    "time-unit": "iso, s, ms, us, ns, or samples (no stamps; rows are counted at rate); default: recordings.time_unit",
    "rate": "samples per second, for time-unit=samples; default: sensors.rate_hz",
    "accelerometer": "its three columns, such as ax,ay,az; default: the channels in har.toml",
    "gyroscope": "its three columns, such as gx,gy,gz; default: the channels in har.toml",
    "pattern": "fields in the path, such as {subject}/{session}_{activity}.csv; default: {subject}_{session}.*",
    **{name: f"column of the {name}" for name in FIELDS},
    "subject-is": "the subject of all files",
    "activity-is": "the activity of all files",
    "placement-is": "the placement of the sensor in all files",
    "device-is": "the device of all files",
}
_UNITS = ("iso", "s", "ms", "us", "ns", "samples")
_ZERO = "rows with a zero stamp"


@dataclass(frozen=True)
class Columns:
    """Where the values of a generic file come from.

    Attributes:
        time: column of the stamps; "" if there are none and samples are counted.
        unit: one of iso, s, ms, us, ns, samples.
        rate_hz: of counted samples.
        sensors: columns by kind of sensor, in the project's order.
        columns: column by field.
        constants: value for all files by field.
        pattern: the fields in paths.
    """

    time: str
    unit: str
    rate_hz: float
    sensors: dict[str, tuple[str, ...]]
    columns: dict[str, str]
    constants: dict[str, str]
    pattern: PathPattern

    @classmethod
    def of(cls, source: Source) -> Columns:
        """The mapping given by options and har.toml.

        Raises:
            SettingsError: an option has an invalid value.
        """
        options, settings = source.options, source.settings
        unit = options.get("time-unit", settings.recordings.time_unit)
        if unit not in _UNITS:
            raise option_error("time-unit", ", ".join(_UNITS), unit)
        columns = {name: options[name] for name in FIELDS if name in options}
        if "activity" not in columns and "activity-is" not in options:
            columns["activity"] = settings.recordings.activity_column
        return cls(
            time="" if unit == "samples" else options.get("time", settings.recordings.time_column),
            unit=unit,
            rate_hz=_rate(options.get("rate", str(settings.sensors.rate_hz))),
            sensors=_sensors(source),
            columns=columns,
            constants={name: options[f"{name}-is"] for name in FIELDS if f"{name}-is" in options},
            pattern=PathPattern(options.get("pattern", "{subject}_{session}.*")),
        )

    @property
    def channels(self) -> list[str]:
        """All sensors' columns."""
        return [name for columns in self.sensors.values() for name in columns]

    def texts(self, header: list[str]) -> list[str]:
        """The columns that are read besides the channels; the column of activities is optional."""
        wanted = [self.time] if self.time else []
        for name, column in self.columns.items():
            if name != "activity" or column in header:
                wanted.append(column)
        return [*dict.fromkeys(wanted)]


def recordings(path: Path, source: Source, rows: Rows, mapping: Columns) -> Iterator[RawRecording]:
    """One recording per subject, session, placement and device of a table; rows keep the order of the file.

    Raises:
        RecordingError: the path does not match the pattern, a column does not exist, or a stamp is invalid.
    """
    defaults = {**_from_path(path, source, mapping), **mapping.constants}
    keys = {name: column for name, column in mapping.columns.items() if column in rows.frame.columns}
    fields = [name for name in ("subject", "session", "placement", "device") if name in keys]
    rows = _drop_zero_stamps(rows, mapping)
    groups = _groups(rows, [keys[name] for name in fields])
    for values, group in groups:
        known: dict[str, str] = {**defaults, **dict(zip(fields, values, strict=True))}
        times_us, clock = _times(group, mapping, source)
        signals = {
            kind: Signal(group.xyz(columns), getattr(source.settings.sensors, kind).unit)
            for kind, columns in mapping.sensors.items()
        }
        labels: str | pl.Series | None = known.get("activity") or None
        if "activity" in keys and "activity" not in mapping.constants:
            labels = group.frame[keys["activity"]].cast(pl.String)
        yield RawRecording(
            where=str(path),
            subject=_needed(known, "subject", path),
            session=known.get("session") or path.stem,
            times_us=times_us,
            clock=clock,
            accelerometer=signals.get("accelerometer"),
            gyroscope=signals.get("gyroscope"),
            labels=labels,
            placement=known.get("placement") or "",
            device=known.get("device") or "",
            faults=group.faults,
        )


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
    return sensors


def _from_path(path: Path, source: Source, mapping: Columns) -> dict[str, str]:
    # The path must match only if the subject comes from nowhere else, or a pattern was given.
    known = {*mapping.columns, *mapping.constants}
    if "pattern" not in source.options and "subject" in known:
        return {}
    return mapping.pattern.parse(path)


def _drop_zero_stamps(rows: Rows, mapping: Columns) -> Rows:
    if not mapping.time or mapping.unit == "iso":
        return rows
    stamps = rows.frame[mapping.time]
    if isinstance(stamps.dtype, pl.Datetime):
        return rows
    zero = (stamps.cast(pl.Float64, strict=False) == 0).fill_null(False)
    return rows.keep(~zero.to_numpy(), _ZERO)


def _groups(rows: Rows, columns: list[str]) -> Iterator[tuple[tuple[str, ...], Rows]]:
    if not columns:
        yield (), rows
        return
    numbered = rows.frame.with_row_index("\0row")
    first = True
    for values, group in numbered.group_by(columns, maintain_order=True):
        faults = rows.faults if first else type(rows.faults)()
        first = False
        text = tuple("" if value is None else str(value) for value in values)
        yield text, Rows(rows.where, group.drop("\0row"), rows.numbers[group["\0row"].to_numpy()], faults)


def _times(rows: Rows, mapping: Columns, source: Source) -> tuple[NDArray[np.int64], Clock]:
    if not mapping.time:
        numbers = rows.numbers - rows.numbers[0] if len(rows.numbers) else rows.numbers
        return sample_times(numbers, mapping.rate_hz), "counted"
    stamps = rows.frame[mapping.time]
    parsed = Parsed(rows.where, "line", rows.numbers + 2, stamps, (), None)
    return utc_microseconds(parsed, mapping.unit, source.settings.project.timezone), "utc"


def _needed(known: dict[str, str], name: Literal["subject"], path: Path) -> str:
    value = known.get(name)
    if not value:
        raise MissingColumnError(
            where=str(path),
            expected=f"a {name}",
            got="none in the path, and no column for it",
            remedy=f"Add -o {name}=COLUMN, -o {name}-is=s01, or -o 'pattern={{subject}}/…'.",
        )
    return value


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e5:
        raise option_error("rate", "samples per second", text)
    return rate
