"""What windows in progress need of the settings, computed once; and the days of the project's time zone."""

from __future__ import annotations

import datetime as dt
import math
import zlib

import numpy as np

from har.plausibility import REPEATS, STUCK_S
from har.settings import Settings

_FORM = 1
"""Of tracks; another one where segments are treated otherwise."""
_SECOND = 1_000_000
_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Rules:
    """Sizes in samples, times in µs; shared by all streams."""

    def __init__(self, settings: Settings) -> None:
        sensors = settings.sensors
        self.sensors = sensors
        self.channels = len(sensors.channels)
        self.rate_hz = sensors.rate_hz
        self.interval = 1e6 / sensors.rate_hz
        self.length, self.stride = settings.length, settings.stride
        self.max_gap_us = round(settings.recordings.max_gap_s * _SECOND)
        self.lateness_us = round(settings.stream.lateness_s * _SECOND)
        self.idle_us = round(settings.stream.idle_s * _SECOND)
        self.placement = settings.recordings.placement
        self.zone = settings.project.zone
        self.look = math.ceil(1.25 * STUCK_S * self.rate_hz) + 1
        """Samples before and after one that say whether it is stuck."""
        self.look_us = round(1.25 * STUCK_S * _SECOND + self.interval)
        self.lump = self.stride + self.look
        self.most_waiting = max(2000, 4 * self.length, round(16 * settings.stream.lateness_s * self.rate_hz))
        """Samples that wait for a missing message, per stream."""
        self.limits = np.array(
            [sensor.full_scale * sensor.to_si * (1 - 1e-6) for sensor in sensors.all for _ in sensor.channels],
            np.float64,
        )
        self.within = np.array([REPEATS[sensor.si_unit] for sensor in sensors.all for _ in sensor.channels], np.float32)
        made = (
            _FORM,
            self.rate_hz,
            self.length,
            self.stride,
            self.max_gap_us,
            sensors.channels,
            settings.project.timezone,
        )
        self.version = zlib.crc32(repr(made).encode())
        """Of what a segment in progress depends on: with other settings, it cannot go on."""
        self._day = (dt.date.min, 0, 0)

    def day(self, time_us: int) -> tuple[dt.date, int]:
        """The date of a time in the project's time zone, and the midnight that ends it."""
        date, start, end = self._day
        if not start <= time_us < end:
            date = (_EPOCH + dt.timedelta(microseconds=time_us)).astimezone(self.zone).date()
            start, end = self._midnight(date), self._midnight(date + dt.timedelta(days=1))
            self._day = (date, start, end)
        return date, end

    def midnight_after(self, date: dt.date) -> int:
        """The time at which a date ends."""
        return self._midnight(date + dt.timedelta(days=1))

    def _midnight(self, date: dt.date) -> int:
        first = dt.datetime.combine(date, dt.time(), self.zone)
        return int((first.astimezone(dt.UTC) - _EPOCH) // _MICROSECOND)
