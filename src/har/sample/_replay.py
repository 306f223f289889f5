"""Write the embedded sample into the inbox as if it were uploaded day by day.

The signals and labels are real; the dates and the times of day are not.
"""

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
from har.sample._recordings import ACTIVITIES, RATE_HZ, SampleRecording, sample_recordings
from har.settings import STANDARD_GRAVITY, Sensor, Settings

FIRST_DAY = dt.date(2024, 1, 1)
DEVICE = "Apple Watch"
"""What the sample was recorded with."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True)
class Replay:
    """What a replay did.

    Attributes:
        written: files that are new.
        present: files that were there already, with the same content.
        dates: the days, in order.
    """

    written: int
    present: int
    dates: tuple[dt.date, ...]


def replay(inbox: Path, settings: Settings) -> Replay:
    """Write the sample as daily uploads over seven days from 2024-01-01, in the layout and units of `settings`.

    Each day every subject does one exercise with the watch on the left wrist (CSV) and on the right (Parquet), and the
    subjects together do all of them. A project without a gyroscope gets the acceleration alone. The files stay at
    50 Hz, whatever rate the project resamples to.

    Raises:
        SettingsError: the project lacks an activity of the sample's, has further channels, or a sensor has other than
            three.
        ConflictingRecordingError: a file of that name holds something else; it stays as it is.
        LakeError: the disk refuses.
    """
    sources = _sources(settings)
    written = present = 0
    dates = set()
    for recording in sample_recordings():
        start = _start(recording)
        dates.add(start.date())
        suffix = "csv" if recording.wrist == "left" else "parquet"
        path = inbox / start.date().isoformat() / f"{recording.subject}_{recording.wrist}.{suffix}"
        values = {
            channel: column
            for sensor, kind in sources
            for channel, column in zip(sensor.channels, _in_unit(recording, sensor, kind).T, strict=True)
        }
        new = _write(path, _table(settings, start, values, recording.activity, recording.wrist))
        written, present = written + new, present + (not new)
    return Replay(written, present, tuple(sorted(dates)))


def fits_sample(settings: Settings) -> bool:
    """Whether the project knows the sample's activities, and has no channels that the sample lacks."""
    return set(ACTIVITIES) <= set(settings.activities.names) and not settings.sensors.further


def _sources(settings: Settings) -> list[tuple[Sensor, str]]:
    if not fits_sample(settings):
        own = (*settings.activities.names, *(one.name for one in settings.sensors.further))
        raise SettingsError(
            where="activities.names, sensors.further",
            expected=f"the sample's activities {', '.join(ACTIVITIES)}, and no further channels",
            got=", ".join(own),
            remedy="`make demo` shows the sample in a project of its own; put your recordings into the inbox.",
        )
    sensors = {"accelerometer": settings.sensors.accelerometer, "gyroscope": settings.sensors.gyroscope}
    found: list[tuple[Sensor, str]] = [(sensor, kind) for kind, sensor in sensors.items() if sensor is not None]
    for sensor, kind in found:
        if len(sensor.channels) != 3:
            raise SettingsError(
                where=f"sensors.{kind}.channels",
                expected="3 channels, as the sample recordings have",
                got=f"{len(sensor.channels)}: {', '.join(sensor.channels)}",
                remedy="The sample cannot stand in for these sensors: put recordings of your own into the inbox.",
            )
    return found


def _start(recording: SampleRecording) -> dt.datetime:
    """When the recording is said to have begun: a day by subject and activity, a time by subject and wrist; UTC."""
    subject = int(recording.subject[1:]) - 1
    day = (ACTIVITIES.index(recording.activity) - subject) % len(ACTIVITIES)
    minute = (17 * subject + 11 * day) % 50 + (5 if recording.wrist == "right" else 0)
    midnight = dt.datetime.combine(FIRST_DAY, dt.time(), dt.UTC)
    return midnight + dt.timedelta(days=day, hours=8 + subject, minutes=minute)


def _in_unit(recording: SampleRecording, sensor: Sensor, kind: str) -> NDArray[np.float64]:
    """The recording's values as this project's files hold them, clipped as its sensor would; float64 (n, 3)."""
    if kind == "accelerometer":
        values = recording.accel_g if sensor.unit == "g" else recording.accel_g * (STANDARD_GRAVITY / sensor.to_si)
    else:
        values = recording.gyro_rad_s / sensor.to_si
    return np.clip(values, -sensor.full_scale, sensor.full_scale)


def _table(
    settings: Settings, start: dt.datetime, values: dict[str, NDArray[np.float64]], activity: str, wrist: str
) -> pl.DataFrame:
    layout = settings.recordings
    count = len(next(iter(values.values())))
    if layout.time_unit == "iso":
        step = dt.timedelta(seconds=1) / RATE_HZ
        times = pl.datetime_range(start, start + (count - 1) * step, step, time_unit="us", time_zone="UTC", eager=True)
    else:
        per_second = _PER_SECOND[layout.time_unit]
        ticks = np.arange(count) * per_second
        first = int(start.timestamp()) * per_second
        times = pl.Series(first + (ticks / RATE_HZ if ticks[1] % RATE_HZ else ticks // RATE_HZ))
    about = {
        layout.placement_column: f"{wrist} wrist",
        layout.device_column: DEVICE,
        layout.activity_column: activity,
    }
    return pl.DataFrame({layout.time_column: times, **values}).with_columns(
        pl.lit(value).alias(column) for column, value in about.items() if column
    )


def _write(path: Path, table: pl.DataFrame) -> bool:
    """Whether the file is new; one that holds the same is left alone."""
    try:
        if path.exists():
            if not _holds(path, table):
                raise ConflictingRecordingError(
                    where=str(path),
                    expected="no file, or the sample recording of that name",
                    got="a file with other content",
                    remedy="Move it away, or set paths.inbox in har.toml to a folder of its own for the sample.",
                )
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _bytes(path, table))
    except OSError as error:
        raise LakeError(
            where=str(path),
            expected="an inbox that can be written",
            got=error.strerror or str(error),
            remedy="Free space or grant write access, then run the same command again.",
        ) from error
    return True


def _bytes(path: Path, table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    if path.suffix == ".csv":
        # The shortest text that reads back as the same float64; stamps at 20 ms need no more than milliseconds.
        table.write_csv(buffer, datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ")
    else:
        table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _holds(path: Path, table: pl.DataFrame) -> bool:
    content = path.read_bytes()
    if content == _bytes(path, table):
        return True
    if path.suffix == ".csv":
        return False
    try:  # another polars release writes other bytes for the same table
        return pl.read_parquet(io.BytesIO(content)).equals(table)
    except pl.exceptions.PolarsError:
        return False
