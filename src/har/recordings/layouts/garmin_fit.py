"""Garmin FIT files with sensor messages, as recorded by a Connect IQ app with a SensorLogger.

Messages 165 accelerometer_data and 164 gyroscope_data hold batches of samples: a stamp, its milliseconds, and an offset
in milliseconds for each sample. FIT has no subjects and activities; they come from the path or from options.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from har.errors import NotARecordingError
from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._fit import ACCELEROMETER, GYROSCOPE, Content, read_fit
from har.recordings.layouts._layout import Layout, RawRecording, Signal, Source
from har.recordings.layouts._names import PathPattern

_HOW = (
    "Activity files contain samples only if the app asks for them: record with a Connect IQ app that "
    "passes a Toybox.SensorLogging.SensorLogger with :accelerometer and :gyroscope enabled to "
    "ActivityRecording.createSession(:sensorLogger), then copy the FIT file from the watch."
)
_OPTIONS = {
    "pattern": "fields in the path, such as {subject}/{session}_{activity}.fit; default: {subject}_{session}.fit",
    "subject": "the subject of all files",
    "activity": "the activity of all files",
    "placement": "where the sensor was worn; default: wrist",
}


def _find(source: Source) -> list[Path]:
    return source.files("*.fit")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    options = source.options
    from_path: dict[str, str] = {}
    if "pattern" in options or "subject" not in options:
        from_path = PathPattern(options.get("pattern", "{subject}_{session}.*")).parse(path)
    content = read_fit(path)
    if ACCELEROMETER not in content.sensors and GYROSCOPE not in content.sensors:
        raise _no_samples(path, content)
    faults = content.faults
    reference = ACCELEROMETER if ACCELEROMETER in content.sensors else GYROSCOPE
    samples = content.sensors[reference]
    signals = {reference: Signal(samples.values, samples.unit)}
    times_us = samples.times_us
    other = content.sensors.get(GYROSCOPE) if reference == ACCELEROMETER else None
    if other is not None:
        values, valid = other.values, np.ones(len(times_us), np.bool_)
        if not np.array_equal(other.times_us, times_us):
            values, valid = on_stamps_of(times_us, other.times_us, other.values, source.settings.recordings.max_gap_s)
        if not valid.all():
            faults["samples without a matching sample of the other sensor, left out"] += int((~valid).sum())
        times_us = times_us[valid]
        signals = {
            reference: Signal(samples.values[valid], samples.unit),
            GYROSCOPE: Signal(values[valid], other.unit),
        }
    yield RawRecording(
        where=str(path),
        subject=options.get("subject") or from_path.get("subject", ""),
        session=from_path.get("session") or path.stem,
        times_us=times_us,
        clock="utc" if content.dated else "device",
        accelerometer=signals.get(ACCELEROMETER),
        gyroscope=signals.get(GYROSCOPE),
        labels=options.get("activity") or from_path.get("activity") or None,
        placement=options.get("placement") or from_path.get("placement") or "wrist",
        device=from_path.get("device") or "garmin",
        faults=faults,
    )


def _no_samples(path: Path, content: Content) -> NotARecordingError:
    messages = ", ".join(f"{count} {name}" for name, count in content.messages.most_common(5)) or "no message"
    return NotARecordingError(
        where=str(path),
        expected="messages 165 accelerometer_data or 164 gyroscope_data",
        got=f"a FIT file with {messages}",
        remedy=_HOW,
    )


LAYOUT = Layout(
    "garmin-fit",
    "Garmin FIT files with accelerometer and gyroscope messages",
    _find,
    _read,
    _OPTIONS,
    lambda look: look.head[8:12] == b".FIT",
)
