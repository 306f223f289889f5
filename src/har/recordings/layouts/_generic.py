"""What `csv` and `parquet` share: which columns hold what, when, and whose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import MissingColumnError, SettingsError
from har.recordings._stamps import utc_microseconds
from har.recordings._table import Parsed
from har.recordings.layouts._layout import Clock, Found, Signal, Source, sample_times
from har.recordings.layouts._names import FIELDS, PathPattern
from har.recordings.layouts._text import Rows

OPTIONS = {
    "time": "column of the stamps; by default recordings.time_column",
    "time-unit": "iso, s, ms, us, ns, or samples (counted at rate); by default recordings.time_unit",
    "rate": "samples per second, for time-unit=samples; by default sensors.rate_hz",
    "accelerometer": "its columns, as ax,ay,az; by default har.toml's channels",
    "gyroscope": "its columns, as gx,gy,gz; by default har.toml's channels",
    "pattern": "what paths say, as {subject}/{session}_{activity}.csv; by default {subject}_{session}.*",
    **{name: f"column that says the {name}" for name in FIELDS},
    "subject-is": "the subject of all files",
    "activity-is": "the activity of all files",
    "placement-is": "where it was worn, all files",
    "device-is": "which device, all files",
}
_UNITS = ("iso", "s", "ms", "us", "ns", "samples")
_ZERO = "rows with a zero stamp"


@dataclass(frozen=True)
class Columns:
    """Which columns a generic file is read by.

    Attributes:
        time: the stamps' column; "" where samples are counted.
        unit: one of iso, s, ms, us, ns, samples.
        rate_hz: of counted samples.
        sensors: kind and columns of each sensor, in the project's order.
        columns: field and the column that says it.
        constants: field and its value for all files.
        pattern: what paths say.
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
        """The mapping that options and har.toml say.

        Raises:
            SettingsError: an option holds what it cannot.
        """
        options, settings = source.options, source.settings
        unit = options.get("time-unit", settings.recordings.time_unit)
        if unit not in _UNITS:
            raise _bad("time-unit", ", ".join(_UNITS), unit)
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

    def texts(self, there: list[str]) -> list[str]:
        """The columns besides the channels that a file is to be read for; the activity's may be absent."""
        wanted = [self.time] if self.time else []
        for name, column in self.columns.items():
            if name != "activity" or column in there:
                wanted.append(column)
        return [*dict.fromkeys(wanted)]


def recordings(path: Path, source: Source, rows: Rows, mapping: Columns) -> Iterator[Found]:
    """One recording per subject and session of a table; a group's rows are in the file's order.

    Raises:
        RecordingError: the path does not fit the pattern, a column does not exist, or a stamp is none.
    """
    said = {**_from_path(path, source, mapping), **mapping.constants}
    keys = {name: column for name, column in mapping.columns.items() if column in rows.frame.columns}
    fields = [name for name in ("subject", "session", "placement", "device") if name in keys]
    rows = _without_zero_stamps(rows, mapping)
    groups = _groups(rows, [keys[name] for name in fields])
    for values, group in groups:
        own = dict(said)
        own.update(zip(fields, values, strict=True))
        times_us, clock = _times(group, mapping, source)
        signals = {
            kind: Signal(group.xyz(columns), getattr(source.settings.sensors, kind).unit)
            for kind, columns in mapping.sensors.items()
        }
        labels: str | pl.Series | None = own.get("activity") or None
        if "activity" in keys and "activity" not in mapping.constants:
            labels = group.frame[keys["activity"]].cast(pl.String)
        yield Found(
            where=str(path),
            subject=_needed(own, "subject", path),
            session=own.get("session") or path.stem,
            times_us=times_us,
            clock=clock,
            accelerometer=signals.get("accelerometer"),
            gyroscope=signals.get("gyroscope"),
            labels=labels,
            placement=own.get("placement") or "",
            device=own.get("device") or "",
            faults=group.faults,
        )


def _sensors(source: Source) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for kind in ("accelerometer", "gyroscope"):
        sensor = getattr(source.settings.sensors, kind)
        if sensor is None:
            continue
        columns = sensor.channels
        if kind in source.options:
            columns = tuple(name.strip() for name in source.options[kind].split(","))
        if len(columns) != 3 or len(set(columns)) != 3:
            raise _bad(kind, "three columns, as x,y,z", ",".join(columns))
        found[kind] = columns
    return found


def _from_path(path: Path, source: Source, mapping: Columns) -> dict[str, str]:
    # A path must say something only where neither a column nor a constant does.
    known = {*mapping.columns, *mapping.constants}
    if "pattern" not in source.options and "subject" in known:
        return {}
    return mapping.pattern.parse(path)


def _without_zero_stamps(rows: Rows, mapping: Columns) -> Rows:
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


def _needed(own: dict[str, str], name: Literal["subject"], path: Path) -> str:
    value = own.get(name)
    if not value:
        raise MissingColumnError(
            where=str(path),
            expected=f"a {name}",
            got="none in the path, and no column that says it",
            remedy=f"Add -o {name}=COLUMN, -o {name}-is=s01, or -o 'pattern={{subject}}/…'.",
        )
    return value


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e5:
        raise _bad("rate", "samples per second", text)
    return rate


def _bad(option: str, expected: str, got: str) -> SettingsError:
    return SettingsError(
        where=f"har import, option {option}",
        expected=expected,
        got=repr(got),
        remedy="`har import --list` says what each option takes.",
    )
