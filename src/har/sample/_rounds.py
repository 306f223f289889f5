"""Write more days of the embedded sample into the inbox: each a full round of exercises by everybody, on either wrist.

The recordings are the sample's own, so they return from day to day; where each begins is drawn anew, and no two days
are cut into the same windows. Dates and labels are given, the signals real, and a fault is what physics makes of it.
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
from har.sample._replay import _in_unit, _sources, _table, _write
from har.settings import Settings

PAUSE_S = 2
"""Between two exercises of a round: a gap, so that no window holds two of them."""
_DRAWN_S = 2.0
"""A recording begins this much later at most; about what one window is moved by."""
_HALF_TURN = np.array([-1.0, -1.0, 1.0])
"""The watch put on the other way round: a rotation by 180° about the axis through its face."""


def replay_round(inbox: Path, settings: Settings, date: dt.date, *, turned: bool = False) -> pl.DataFrame:
    """Write one day without labels: per subject and wrist a file with all exercises, one after the other.

    Args:
        inbox: where uploads land.
        settings: layout and units of the files.
        date: the day; what is drawn follows from it.
        turned: everybody wears the watch turned by 180° about the axis through its face.

    Returns:
        What was done when: one row per exercise with subject, session, start, end (of its last sample) and activity.

    Raises:
        SettingsError, ConflictingRecordingError, LakeError: as `replay` does.
    """
    sources = _sources(settings)
    rows = []
    for (subject, wrist), group in groupby(sorted(sample_recordings(), key=_wearer), key=_wearer):
        content = f"{date.isoformat()} {subject} {wrist}".encode()
        random = np.random.default_rng(int.from_bytes(hashlib.sha256(content).digest()[:8], "big"))
        start = _begin(date, subject, wrist)
        tables = []
        for recording in group:
            worn = _worn(recording, int(random.integers(0, round(_DRAWN_S * RATE_HZ))), turned=turned)
            values = {
                channel: column
                for sensor, kind in sources
                for channel, column in zip(sensor.channels, _in_unit(worn, sensor, kind).T, strict=True)
            }
            tables.append(_table(settings, start, values, recording.activity, wrist))
            end = start + dt.timedelta(seconds=(len(worn.accel_g) - 1) / RATE_HZ)
            rows.append((subject, wrist, start, end, recording.activity))
            start = end.replace(microsecond=0) + dt.timedelta(seconds=1 + PAUSE_S)
        table = pl.concat(tables).drop(settings.recordings.activity_column)
        _write(inbox / date.isoformat() / f"{subject}_{wrist}.parquet", table)
    time = pl.Datetime("us", "UTC")
    schema = pl.Schema(
        {"subject": pl.String(), "session": pl.String(), "start": time, "end": time, "activity": pl.String()}
    )
    return pl.DataFrame(rows, schema, orient="row")


def _wearer(recording: SampleRecording) -> tuple[str, str]:
    return recording.subject, recording.wrist


def _begin(date: dt.date, subject: str, wrist: str) -> dt.datetime:
    midnight = dt.datetime.combine(date, dt.time(), dt.UTC)
    return midnight + dt.timedelta(hours=7 + int(subject[1:]), minutes=30 if wrist == "right" else 0)


def _worn(recording: SampleRecording, first: int, *, turned: bool) -> SampleRecording:
    turn = _HALF_TURN if turned else np.ones(3)
    return replace(recording, accel_g=recording.accel_g[first:] * turn, gyro_rad_s=recording.gyro_rad_s[first:] * turn)
