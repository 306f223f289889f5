"""Convert one recording to the table of an inbox file, in this project's columns, units and time unit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MissingColumnError
from har.importing._labels import Labels
from har.recordings.layouts import RawRecording, Signal
from har.recordings.layouts._sessions import session_bounds, session_name
from har.settings import TICKS_PER_SECOND, Sensor, Settings


def parts(raw: RawRecording, settings: Settings) -> Iterator[RawRecording]:
    """Split a recording into sessions of at most a day; the second and later ones are numbered.

    `session_bounds` says where.

    Raises:
        EmptyRecordingError: the recording has no samples.
    """
    if not len(raw.times_us):
        raise EmptyRecordingError(where=raw.where, expected="samples", got="no complete row", remedy="Export it again.")
    bounds = session_bounds(raw.times_us, raw.clock, settings.project.timezone)
    for number, (first, last) in enumerate(pairwise(bounds), 1):
        yield raw if len(bounds) == 2 else _part(raw, first, last, number)


def _part(raw: RawRecording, first: int, last: int, number: int) -> RawRecording:
    def cut(signal: Signal | None) -> Signal | None:
        return signal and Signal(signal.values[first:last], signal.unit)

    labels = raw.labels
    return replace(
        raw,
        session=session_name(raw.session, number),
        times_us=raw.times_us[first:last],
        accelerometer=cut(raw.accelerometer),
        gyroscope=cut(raw.gyroscope),
        labels=labels[first:last] if isinstance(labels, pl.Series) else labels,
    )


def inbox_table(
    raw: RawRecording, start_us: int | None, settings: Settings, units: Mapping[str, str], labels: Labels
) -> tuple[pl.DataFrame, dt.date]:
    """The table of an inbox file, and its date.

    Args:
        raw: the recording.
        start_us: the assigned time of its first sample; None: keep its stamps.
        settings: the project's settings.
        units: unit by sensor, where the values are not in the reader's unit.
        labels: maps and counts the labels.

    Raises:
        MissingColumnError: the recording lacks a sensor of the project.
    """
    layout = settings.recordings
    times = raw.times_us if start_us is None else raw.times_us - raw.times_us.min() + start_us
    columns: dict[str, pl.Series] = {layout.time_column: _stamps(times, layout.time_unit)}
    sensors = {
        "accelerometer": (settings.sensors.accelerometer, raw.accelerometer),
        "gyroscope": (settings.sensors.gyroscope, raw.gyroscope),
    }
    for kind, (sensor, signal) in sensors.items():
        if sensor is None:
            continue
        if signal is None:
            raise MissingColumnError(
                where=raw.where,
                expected=f"samples of the {kind} ([sensors.{kind}] in har.toml)",
                got="a recording without them",
                remedy=f"If the project does not need it, remove [sensors.{kind}] from har.toml.",
            )
        factor = _factor(sensor, units.get(kind, signal.unit))
        for name, channel in zip(sensor.channels, signal.values.T, strict=True):
            columns[name] = pl.Series((channel * factor).astype(np.float32))
    activity = _activity(raw, len(times), labels)
    if activity is not None:
        columns[layout.activity_column] = activity
    table = pl.DataFrame(columns)
    constants = {layout.placement_column: raw.placement, layout.device_column: raw.device}
    table = table.with_columns(pl.lit(value).alias(name) for name, value in constants.items() if value)
    return table, dt.datetime.fromtimestamp(int(times.min()) / 1e6, settings.project.zone).date()


def _factor(sensor: Sensor, unit: str) -> float:
    return 1.0 if unit == sensor.unit else sensor.factors[unit] / sensor.to_si


def _activity(raw: RawRecording, count: int, labels: Labels) -> pl.Series | None:
    if raw.labels is None:
        return None
    published = raw.labels
    if isinstance(published, str):
        published = pl.repeat(published, count, dtype=pl.String, eager=True)
    return labels.translate(published)


def _stamps(times_us: NDArray[np.int64], unit: str) -> pl.Series:
    if unit == "iso":
        return pl.Series(times_us).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    per_second = TICKS_PER_SECOND[unit]
    if per_second >= 1_000_000:
        return pl.Series(times_us * (per_second // 1_000_000))
    whole = 1_000_000 // per_second
    return pl.Series(times_us // whole if not (times_us % whole).any() else times_us / whole)
