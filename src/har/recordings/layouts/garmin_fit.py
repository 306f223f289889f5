"""Garmin FIT files with sensor messages, as a Connect IQ app with a SensorLogger records them.

Messages 165 accelerometer_data and 164 gyroscope_data hold batches of samples: a stamp, its milliseconds, and an offset
in milliseconds for each sample. FIT has neither subjects nor activities; the path says them, or an option.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from har.errors import NotARecordingError
from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._fit import ACCELEROMETER, GYROSCOPE, Content, read_fit
from har.recordings.layouts._layout import Found, Layout, Signal, Source
from har.recordings.layouts._names import PathPattern

_HOW = (
    "Activity files do not keep the sensors' samples unless the app asks for them: record with a Connect IQ app that "
    "passes a Toybox.SensorLogging.SensorLogger with :accelerometer and :gyroscope enabled to "
    "ActivityRecording.createSession(:sensorLogger), then copy the FIT file from the watch."
)
_OPTIONS = {
    "pattern": "what paths say, as {subject}/{session}_{activity}.fit; by default {subject}_{session}.fit",
    "subject": "the subject of all files",
    "activity": "the activity of all files",
    "placement": "where it was worn; by default wrist",
}


def _find(source: Source) -> list[Path]:
    return source.files("*.fit", "*.FIT")


def _read(path: Path, source: Source) -> Iterator[Found]:
    options = source.options
    own: dict[str, str] = {}
    if "pattern" in options or "subject" not in options:
        own = PathPattern(options.get("pattern", "{subject}_{session}.*")).parse(path)
    content = read_fit(path)
    if ACCELEROMETER not in content.sensors and GYROSCOPE not in content.sensors:
        raise _no_samples(path, content)
    faults = content.faults
    first = ACCELEROMETER if ACCELEROMETER in content.sensors else GYROSCOPE
    lead = content.sensors[first]
    signals = {first: Signal(lead.values, lead.unit)}
    times_us = lead.times_us
    other = content.sensors.get(GYROSCOPE) if first == ACCELEROMETER else None
    if other is not None:
        moved, there = other.values, np.ones(len(times_us), np.bool_)
        if not np.array_equal(other.times_us, times_us):
            moved, there = on_stamps_of(times_us, other.times_us, other.values, source.settings.recordings.max_gap_s)
        if not there.all():
            faults["samples without one of the other sensor, left out"] += int((~there).sum())
        times_us = times_us[there]
        signals = {first: Signal(lead.values[there], lead.unit), GYROSCOPE: Signal(moved[there], other.unit)}
    yield Found(
        where=str(path),
        subject=options.get("subject") or own.get("subject", ""),
        session=own.get("session") or path.stem,
        times_us=times_us,
        clock="utc" if content.dated else "device",
        accelerometer=signals.get(ACCELEROMETER),
        gyroscope=signals.get(GYROSCOPE),
        labels=options.get("activity") or own.get("activity") or None,
        placement=options.get("placement") or own.get("placement") or "wrist",
        device=own.get("device") or "garmin",
        faults=faults,
    )


def _no_samples(path: Path, content: Content) -> NotARecordingError:
    held = ", ".join(f"{count} {name}" for name, count in content.messages.most_common(5)) or "no message"
    return NotARecordingError(
        where=str(path),
        expected="messages 165 accelerometer_data or 164 gyroscope_data",
        got=f"a FIT file with {held}",
        remedy=_HOW,
    )


LAYOUT = Layout("garmin-fit", "Garmin FIT files with accelerometer and gyroscope messages", _find, _read, _OPTIONS)
