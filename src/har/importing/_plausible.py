"""Faults of a recording that ingestion accepts: a sensor that is off or in another unit, an axis that is dead."""

from __future__ import annotations

from collections import Counter

import numpy as np

from har.cutting import cut_day, signal_rule
from har.plausibility import Doubts
from har.recordings import Recording
from har.settings import Settings

_MOST_WINDOWS = 64
"""Judged of one recording, spread over it."""
_LINES = {
    "accelerometer_unit": "recordings whose acceleration is implausible in its unit; see --unit accelerometer=…",
    "gravity": "recordings whose acceleration seems to lack gravity",
    "gyroscope_unit": "recordings whose gyroscope seems to be in another unit; see --unit gyroscope=…",
    "gyroscope_off": "recordings whose gyroscope is zero while the device moves",
}


def implausible(recording: Recording, settings: Settings) -> Counter[str]:
    """A line per kind of fault of a recording as ingestion reads it, and how often it occurs.

    Args:
        recording: its samples at the project's rate, SI units.
        settings: sensors and windows.
    """
    faults: Counter[str] = Counter()
    frame = recording.frame
    if frame.is_empty():
        return faults
    for channel in settings.sensors.channels:
        if len(frame) > 1 and frame[channel].min() == frame[channel].max():
            faults[f"recordings whose {channel} never changes"] += 1
    windows, _ = cut_day((frame["date"][0], frame["subject"][0]), frame, settings, settings.sensors.channels)
    if not len(windows):
        return faults
    chosen = np.unique(np.linspace(0, len(windows) - 1, _MOST_WINDOWS).astype(np.int64))
    values = windows.batch(chosen)
    measured = values[~signal_rule(settings).absent(values)]
    sensors = settings.sensors
    doubts = Doubts(units=sensors.units, rate_hz=sensors.rate_hz, length=settings.length).of(measured)
    faults.update(_LINES[doubt.code] for doubt in doubts)
    silent = len(values) - len(measured)
    if silent:
        share = silent / len(values)
        faults["windows without a signal (a sensor off, stuck or at its limit)"] += round(share * len(windows))
    return faults
