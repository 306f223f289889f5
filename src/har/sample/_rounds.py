"""Write more days of the embedded sample into the inbox: on each, every subject does all exercises, on either wrist.

Every day has the same recordings, but each recording starts at a random sample, so that the windows differ from day to
day. The signals are real, the dates assigned. A turned watch is simulated by rotating the signals.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl

from har.sample._recordings import RATE_HZ, SampleRecording, sample_recordings
from har.sample._replay import inbox_table, sample_sensors, values_in_unit, write_file
from har.settings import Settings

PAUSE_S = 2
"""Between two exercises of a day: long enough to be a gap, so that no window contains both."""
_MAX_OFFSET_S = 2.0
"""At most this much is cut from the start of a recording: about the stride of windows."""
_HALF_TURN = np.array([-1.0, -1.0, 1.0])
"""A watch worn upside down: a rotation by 180° about the axis through its face."""


def replay_round(inbox: Path, settings: Settings, date: dt.date, *, turned: bool = False) -> pl.DataFrame:
    """Write one day without labels: for each subject and wrist a file with all exercises, one after the other.

    Args:
        inbox: the inbox folder.
        settings: layout and units of the files.
        date: the day; it also seeds the random offsets.
        turned: all subjects wear the watch rotated by 180° about the axis through its face.

    Returns:
        The true activities: one row per exercise with subject, session, start, end (of its last sample) and activity.

    Raises:
        SettingsError, ConflictingRecordingError, LakeError: as `replay` does.
    """
    sensors = sample_sensors(settings)
    rows = []
    for (subject, wrist), group in groupby(sorted(sample_recordings(), key=_subject_wrist), key=_subject_wrist):
        seed = f"{date.isoformat()} {subject} {wrist}".encode()
        random = np.random.default_rng(int.from_bytes(hashlib.sha256(seed).digest()[:8], "big"))
        start = _start(date, subject, wrist)
        tables = []
        for recording in group:
            offset = int(random.integers(0, round(_MAX_OFFSET_S * RATE_HZ)))
            shifted = _shifted(recording, offset, turned=turned)
            values = {
                channel: column
                for sensor, kind in sensors
                for channel, column in zip(sensor.channels, values_in_unit(shifted, sensor, kind).T, strict=True)
            }
            tables.append(inbox_table(settings, start, values, recording.activity, wrist))
            end = start + dt.timedelta(seconds=(len(shifted.accel_g) - 1) / RATE_HZ)
            rows.append((subject, wrist, start, end, recording.activity))
            start = end.replace(microsecond=0) + dt.timedelta(seconds=1 + PAUSE_S)
        table = pl.concat(tables).drop(settings.recordings.activity_column)
        write_file(inbox / date.isoformat() / f"{subject}_{wrist}.parquet", table)
    time = pl.Datetime("us", "UTC")
    schema = pl.Schema(
        {"subject": pl.String(), "session": pl.String(), "start": time, "end": time, "activity": pl.String()}
    )
    return pl.DataFrame(rows, schema, orient="row")


def _subject_wrist(recording: SampleRecording) -> tuple[str, str]:
    return recording.subject, recording.wrist


def _start(date: dt.date, subject: str, wrist: str) -> dt.datetime:
    midnight = dt.datetime.combine(date, dt.time(), dt.UTC)
    return midnight + dt.timedelta(hours=7 + int(subject[1:]), minutes=30 if wrist == "right" else 0)


def _shifted(recording: SampleRecording, first: int, *, turned: bool) -> SampleRecording:
    """The recording from its sample `first` on, rotated if the watch is turned."""
    turn = _HALF_TURN if turned else np.ones(3)
    return replace(recording, accel_g=recording.accel_g[first:] * turn, gyro_rad_s=recording.gyro_rad_s[first:] * turn)
