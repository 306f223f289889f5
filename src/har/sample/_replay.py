"""Write the embedded sample into the inbox as daily uploads: real signals and labels, assigned dates and times."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import ConflictingRecordingError, LakeError, SettingsError
from har.files import write_atomically
from har.recordings import require_plain
from har.sample._recordings import ACTIVITIES, RATE_HZ, SampleRecording, sample_recordings
from har.settings import STANDARD_GRAVITY, TICKS_PER_SECOND, Sensor, Settings

FIRST_DAY = dt.date(2024, 1, 1)
DEVICE = "Apple Watch"
"""The device of the sample recordings."""


@dataclass(frozen=True)
class Replay:
    """The result of `replay`.

    Attributes:
        written: number of new files.
        present: number of files that existed with the same content.
        dates: the days, in order.
    """

    written: int
    present: int
    dates: tuple[dt.date, ...]


def replay(inbox: Path, settings: Settings) -> Replay:
    """Write the sample as daily uploads over seven days from 2024-01-01, in the layout and units of `settings`.

    On each day every subject does one exercise, with the watch on the left wrist (CSV) and on the right (Parquet); over
    all subjects each day has every exercise. A project without a gyroscope gets the acceleration only. The files have
    50 Hz, whatever rate the project resamples to.

    Raises:
        SettingsError: the project lacks an activity of the sample, has further channels, or a sensor does not have
            three channels.
        ConflictingRecordingError: a file of that name has other content; it is not changed.
        LakeError: the disk refuses.
    """
    sensors = sample_sensors(settings)
    written = present = 0
    dates = set()
    for recording in sample_recordings():
        start = _start(recording)
        dates.add(start.date())
        suffix = "csv" if recording.wrist == "left" else "parquet"
        path = inbox / start.date().isoformat() / f"{recording.subject}_{recording.wrist}.{suffix}"
        values = {
            channel: column
            for sensor, kind in sensors
            for channel, column in zip(sensor.channels, values_in_unit(recording, sensor, kind).T, strict=True)
        }
        new = write_file(path, inbox_table(settings, start, values, recording.activity, recording.wrist))
        written, present = written + new, present + (not new)
    return Replay(written, present, tuple(sorted(dates)))


def fits_sample(settings: Settings) -> bool:
    """Whether the project has the sample's activities, and no channels that the sample lacks."""
    return set(ACTIVITIES) <= set(settings.activities.names) and not settings.sensors.further


def sample_sensors(settings: Settings) -> list[tuple[Sensor, str]]:
    """The project's sensors, each with its kind, "accelerometer" or "gyroscope".

    Raises:
        SettingsError: the project does not fit the sample.
    """
    if not fits_sample(settings):
        names = (*settings.activities.names, *(one.name for one in settings.sensors.further))
        raise SettingsError(
            where="activities.names, sensors.further",
            expected=f"the sample's activities {', '.join(ACTIVITIES)}, and no further channels",
            got=", ".join(names),
            remedy="`make demo` shows the sample in a separate project; put your own recordings into the inbox.",
        )
    sensors = {"accelerometer": settings.sensors.accelerometer, "gyroscope": settings.sensors.gyroscope}
    configured: list[tuple[Sensor, str]] = [(sensor, kind) for kind, sensor in sensors.items() if sensor is not None]
    for sensor, kind in configured:
        if len(sensor.channels) != 3:
            raise SettingsError(
                where=f"sensors.{kind}.channels",
                expected="3 channels, as the sample recordings have",
                got=f"{len(sensor.channels)}: {', '.join(sensor.channels)}",
                remedy="The sample does not fit these sensors: put your own recordings into the inbox.",
            )
    return configured


def _start(recording: SampleRecording) -> dt.datetime:
    """The assigned start in UTC: the day depends on subject and activity, the time on subject and wrist."""
    subject = int(recording.subject[1:]) - 1
    day = (ACTIVITIES.index(recording.activity) - subject) % len(ACTIVITIES)
    minute = (17 * subject + 11 * day) % 50 + (5 if recording.wrist == "right" else 0)
    midnight = dt.datetime.combine(FIRST_DAY, dt.time(), dt.UTC)
    return midnight + dt.timedelta(days=day, hours=8 + subject, minutes=minute)


def values_in_unit(recording: SampleRecording, sensor: Sensor, kind: str) -> NDArray[np.float64]:
    """The recording's values in the unit of `sensor`, clipped at its full scale, float64 (n, 3)."""
    if kind == "accelerometer":
        values = recording.accel_g if sensor.unit == "g" else recording.accel_g * (STANDARD_GRAVITY / sensor.to_si)
    else:
        values = recording.gyro_rad_s / sensor.to_si
    return np.clip(values, -sensor.full_scale, sensor.full_scale)


def inbox_table(
    settings: Settings, start: dt.datetime, values: dict[str, NDArray[np.float64]], activity: str, wrist: str
) -> pl.DataFrame:
    """The table of an inbox file.

    Args:
        settings: columns and time unit.
        start: time of the first sample, UTC.
        values: float64 (n,) by channel.
        activity: of all samples.
        wrist: "left" or "right".
    """
    layout = settings.recordings
    count = len(next(iter(values.values())))
    if layout.time_unit == "iso":
        step = dt.timedelta(seconds=1) / RATE_HZ
        times = pl.datetime_range(start, start + (count - 1) * step, step, time_unit="us", time_zone="UTC", eager=True)
    else:
        per_second = TICKS_PER_SECOND[layout.time_unit]
        ticks = np.arange(count) * per_second
        first = int(start.timestamp()) * per_second
        times = pl.Series(first + (ticks / RATE_HZ if ticks[1] % RATE_HZ else ticks // RATE_HZ))
    constants = {
        layout.placement_column: f"{wrist} wrist",
        layout.device_column: DEVICE,
        layout.activity_column: activity,
    }
    return pl.DataFrame({layout.time_column: times, **values}).with_columns(
        pl.lit(value).alias(column) for column, value in constants.items() if column
    )


def write_file(path: Path, table: pl.DataFrame) -> bool:
    """Write an inbox file, unless it exists with the same content; says whether it is new.

    Raises:
        ConflictingRecordingError: the file has other content; it is not changed.
        OddEntryError: the file or its folder is a link, or the like.
        LakeError: the disk refuses.
    """
    try:
        require_plain(path)
        if path.exists():
            if not _has_content(path, table):
                raise ConflictingRecordingError(
                    where=str(path),
                    expected="no file, or the sample recording of that name",
                    got="a file with other content",
                    remedy="Move the file away, or set paths.inbox in har.toml to a separate folder for the sample.",
                )
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _bytes(path, table))
    except OSError as error:
        raise LakeError.refused(path, error) from error
    return True


def _bytes(path: Path, table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    if path.suffix == ".csv":
        # Polars writes the shortest text that reads back as the same float64; stamps are multiples of 20 ms.
        table.write_csv(buffer, datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ")
    else:
        table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _has_content(path: Path, table: pl.DataFrame) -> bool:
    content = path.read_bytes()
    if content == _bytes(path, table):
        return True
    if path.suffix == ".csv":
        return False
    try:  # releases of polars write different bytes for the same table
        return pl.read_parquet(io.BytesIO(content)).equals(table)
    except pl.exceptions.PolarsError:
        return False
