"""One found recording as the table of an inbox file: this project's columns, units and time unit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MissingColumnError
from har.importing._labels import Labels
from har.recordings.layouts import RawRecording, Signal
from har.settings import Sensor, Settings

_DAY_US = 86_400_000_000
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def parts(found: RawRecording, settings: Settings) -> Iterator[RawRecording]:
    """A recording as sessions that the inbox can hold, the second and later ones numbered.

    Cut at pauses of more than a day (without dates: an hour); one that still lasts longer than a day is cut at every
    midnight of the project's time zone.

    Raises:
        EmptyRecordingError: it has no samples.
    """
    times = found.times_us
    if not len(times):
        raise EmptyRecordingError(
            where=found.where, expected="samples", got="none that are whole", remedy="Export it again."
        )
    longest = _DAY_US if found.clock == "utc" else 3_600_000_000
    cuts = np.flatnonzero(np.diff(times) > longest) + 1
    if found.clock == "utc":
        bounds = [0, *cuts.tolist(), len(times)]
        for first, last in pairwise(bounds):
            piece = times[first:last]
            if piece.max() - piece.min() > _DAY_US:
                cuts = np.union1d(cuts, first + _midnights(piece, settings.project.timezone))
    bounds = [0, *cuts.tolist(), len(times)]
    for number, (first, last) in enumerate(pairwise(bounds), 1):
        yield found if len(bounds) == 2 else _part(found, first, last, number)


def _midnights(times_us: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    dates = pl.Series(times_us).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.date()
    return np.flatnonzero((dates.to_physical().diff() > 0).fill_null(False).to_numpy())


def _part(found: RawRecording, first: int, last: int, number: int) -> RawRecording:
    def cut(signal: Signal | None) -> Signal | None:
        return signal and Signal(signal.values[first:last], signal.unit)

    labels = found.labels
    return replace(
        found,
        session=found.session if number == 1 else f"{found.session}-{number}",
        times_us=found.times_us[first:last],
        accelerometer=cut(found.accelerometer),
        gyroscope=cut(found.gyroscope),
        labels=labels[first:last] if isinstance(labels, pl.Series) else labels,
    )


def inbox_table(
    found: RawRecording, start_us: int | None, settings: Settings, units: Mapping[str, str], labels: Labels
) -> tuple[pl.DataFrame, dt.date]:
    """The table of an inbox file, and its date.

    Args:
        found: the recording.
        start_us: when its first sample is said to have been taken; None: its stamps say.
        settings: the project.
        units: per sensor, the unit of the values where it is another than the reader states.
        labels: translates and counts the labels.

    Raises:
        MissingColumnError: a sensor of the project's is not in the recording.
    """
    layout = settings.recordings
    times = found.times_us if start_us is None else found.times_us - found.times_us.min() + start_us
    columns: dict[str, pl.Series] = {layout.time_column: _stamps(times, layout.time_unit)}
    sensors = {
        "accelerometer": (settings.sensors.accelerometer, found.accelerometer),
        "gyroscope": (settings.sensors.gyroscope, found.gyroscope),
    }
    for kind, (sensor, signal) in sensors.items():
        if sensor is None:
            continue
        if signal is None:
            raise MissingColumnError(
                where=found.where,
                expected=f"samples of the {kind}, as har.toml says",
                got="a recording without them",
                remedy=f"Remove [sensors.{kind}] from har.toml if the project is to do without it.",
            )
        factor = _factor(sensor, units.get(kind, signal.unit))
        for name, channel in zip(sensor.channels, signal.values.T, strict=True):
            columns[name] = pl.Series((channel * factor).astype(np.float32))
    activity = _activity(found, len(times), labels)
    if activity is not None:
        columns[layout.activity_column] = activity
    table = pl.DataFrame(columns)
    told = {layout.placement_column: found.placement, layout.device_column: found.device}
    table = table.with_columns(pl.lit(value).alias(name) for name, value in told.items() if value)
    zone = dt.UTC if settings.project.timezone == "UTC" else ZoneInfo(settings.project.timezone)
    return table, dt.datetime.fromtimestamp(int(times.min()) / 1e6, zone).date()


def _factor(sensor: Sensor, unit: str) -> float:
    return 1.0 if unit == sensor.unit else sensor.factors[unit] / sensor.to_si


def _activity(found: RawRecording, count: int, labels: Labels) -> pl.Series | None:
    if found.labels is None:
        return None
    given = found.labels
    if isinstance(given, str):
        given = pl.repeat(given, count, dtype=pl.String, eager=True)
    return labels.translate(given)


def _stamps(times_us: NDArray[np.int64], unit: str) -> pl.Series:
    if unit == "iso":
        return pl.Series(times_us).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    per_second = _PER_SECOND[unit]
    if per_second >= 1_000_000:
        return pl.Series(times_us * (per_second // 1_000_000))
    whole = 1_000_000 // per_second
    return pl.Series(times_us // whole if not (times_us % whole).any() else times_us / whole)
