"""Decode the sensor messages of a FIT file (FIT profile: messages 162, 164, 165 and 167)."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import NotARecordingError, RecordingError, SettingsError, UnitError, reason

ACCELEROMETER, GYROSCOPE, CALIBRATION, CORRELATION = 165, 164, 167, 162
_EPOCH_S = 631_065_600
"""FIT counts from 1989-12-31T00:00:00Z; this is that instant in Unix time."""
_SINCE_POWER_ON_S = 0x10000000
"""Smaller stamps count seconds since the device was switched on."""
_FULL_TURN = 65535
"""Scale of the orientation matrix."""
_TIMESTAMP = 253
_SENSOR_TYPES = {0: ACCELEROMETER, 1: GYROSCOPE}
_NAMES = {ACCELEROMETER: "accelerometer_data", GYROSCOPE: "gyroscope_data"}
# Field numbers of x, y, z and their unit; raw counts are used only where none of these is present.
_CALIBRATED: dict[int, tuple[tuple[tuple[int, int, int], str], ...]] = {
    ACCELEROMETER: (((5, 6, 7), "g"), ((8, 9, 10), "mg")),
    GYROSCOPE: (((5, 6, 7), "deg/s"),),
}
_COUNTS = (2, 3, 4)
_CALIBRATION_FIELDS = {1: "factor", 2: "divisor", 3: "level shift", 4: "offset", 5: "orientation"}


@dataclass
class Samples:
    """One sensor's samples.

    Attributes:
        times_us: int64 (n,), µs since 1970, or since the device was switched on.
        values: float64 (n, 3).
        unit: of these fields in the FIT profile.
    """

    times_us: NDArray[np.int64]
    values: NDArray[np.float64]
    unit: str


@dataclass
class Content:
    """A FIT file's samples.

    Attributes:
        sensors: samples by message number.
        dated: whether stamps are dates; else they count from when the device was switched on.
        messages: number of messages by name.
        faults: number of faults by description.
    """

    sensors: dict[int, Samples]
    dated: bool
    messages: Counter[str]
    faults: Counter[str] = field(default_factory=Counter)


def read_fit(path: Path) -> Content:
    """Decode a FIT file, its checksums included.

    Raises:
        NotARecordingError: not a FIT file, cut short, or a wrong checksum.
        UnitError: raw counts without the calibration that converts them.
        SettingsError: the package fitdecode is not installed.
    """
    try:
        import fitdecode
    except ImportError as error:
        raise SettingsError(
            where="har import garmin-fit",
            expected="the package fitdecode",
            got="none",
            remedy="Install the extra `garmin`, or: pip install fitdecode",
        ) from error
    batches = _Batches(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about message types that fitdecode does not know
        try:
            with fitdecode.FitReader(path, processor=None, check_crc=fitdecode.CrcCheck.RAISE) as reader:
                for frame in reader:
                    if isinstance(frame, fitdecode.FitDataMessage):
                        batches.add(frame)
        except RecordingError:
            raise
        except fitdecode.FitCRCError as error:
            raise _damaged(path, "a wrong checksum") from error
        except (fitdecode.FitError, ValueError, LookupError, TypeError, AssertionError, struct.error) as error:
            raise _damaged(path, reason(error)) from error
    return batches.content()


def _damaged(path: Path, got: str) -> NotARecordingError:
    return NotARecordingError(
        where=str(path),
        expected="a complete FIT file",
        got=got,
        remedy="The file is damaged or cut short: copy it from the watch again.",
    )


class _Batches:
    """Collects messages; each batch of samples is converted with the calibration that precedes it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.messages: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._calibration: dict[int, dict[int, Any]] = {}
        self._power_on_us: int | None = None
        self._parts: dict[int, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
        self._units: dict[int, str] = {}

    def add(self, message: Any) -> None:
        number = message.global_mesg_num
        self.messages[message.name] += 1
        if number not in (ACCELEROMETER, GYROSCOPE, CALIBRATION, CORRELATION):
            return
        raw = {one.def_num: one.raw_value for one in message.fields if one.def_num is not None}
        if number == CALIBRATION:
            kind = _SENSOR_TYPES.get(raw.get(0, -1))
            if kind is not None:
                self._calibration[kind] = raw
        elif number == CORRELATION:
            self._correlate(raw)
        else:
            self._batch(number, raw)

    def content(self) -> Content:
        sensors = {
            number: Samples(
                np.concatenate([times for times, _ in parts]),
                np.concatenate([values for _, values in parts]),
                self._units[number],
            )
            for number, parts in self._parts.items()
        }
        since_power_on = [(one.times_us < _SINCE_POWER_ON_S * 1_000_000).any() for one in sensors.values()]
        dated = not any(since_power_on) or self._power_on_us is not None
        for one in sensors.values():
            early = one.times_us < _SINCE_POWER_ON_S * 1_000_000
            one.times_us[~early] += _EPOCH_S * 1_000_000
            if early.any() and self._power_on_us is not None:
                one.times_us[early] += self._power_on_us
        return Content(sensors, dated, self.messages, +self.faults)

    def _correlate(self, raw: dict[int, Any]) -> None:
        """Message 162: one instant in UTC and on the device's clock."""
        if raw.get(_TIMESTAMP) is None or raw.get(1) is None:
            return
        utc_us = raw[_TIMESTAMP] * 1_000_000 + (raw.get(4) or 0) * 1_000
        system_us = raw[1] * 1_000_000 + (raw.get(5) or 0) * 1_000
        self._power_on_us = utc_us - system_us + _EPOCH_S * 1_000_000

    def _batch(self, number: int, raw: dict[int, Any]) -> None:
        if raw.get(_TIMESTAMP) is None:
            self.faults["batches without a stamp"] += 1
            return
        if raw.get(1) is None:
            raise NotARecordingError(
                where=self.where,
                expected=f"sample_time_offset in every message {number} {_NAMES[number]}",
                got="a message without it",
                remedy="Record again with a device or app that writes it: without it samples have no time.",
            )
        offsets = _numbers(raw[1])
        values, unit = self._values(number, raw, len(offsets))
        if self._units.setdefault(number, unit) != unit:
            raise UnitError(
                where=self.where,
                expected=f"all messages {number} {_NAMES[number]} in {self._units[number]}",
                got=unit,
                remedy="Split the file where the recording app changed.",
            )
        times = raw[_TIMESTAMP] * 1_000_000 + (raw.get(0) or 0) * 1_000 + offsets * 1_000
        valid = np.isfinite(times) & np.isfinite(values).all(axis=1)
        self.faults["samples that the device marks as invalid"] += int((~valid).sum())
        part = np.round(times[valid]).astype(np.int64), values[valid]
        self._parts.setdefault(number, []).append(part)

    def _values(self, number: int, raw: dict[int, Any], count: int) -> tuple[NDArray[np.float64], str]:
        for fields, unit in _CALIBRATED[number]:
            if all(raw.get(one) is not None for one in fields):
                return self._axes(raw, fields, count, number), unit
        if all(raw.get(one) is not None for one in _COUNTS):
            counts = self._axes(raw, _COUNTS, count, number)
            return self._calibrate(number, counts), _CALIBRATED[number][0][1]
        raise NotARecordingError(
            where=self.where,
            expected=f"x, y and z in every message {number} {_NAMES[number]}",
            got=f"the fields {', '.join(str(one) for one in sorted(raw))}",
            remedy="Record all three axes.",
        )

    def _axes(self, raw: dict[int, Any], fields: tuple[int, ...], count: int, number: int) -> NDArray[np.float64]:
        axes = [_numbers(raw[one]) for one in fields]
        if any(len(axis) != count for axis in axes):
            raise NotARecordingError(
                where=self.where,
                expected=f"as many samples per axis as sample_time_offset has ({count}) in message {number}",
                got=", ".join(str(len(axis)) for axis in axes),
                remedy="The file does not follow the FIT profile: record it again.",
            )
        return np.stack(axes, axis=1)

    def _calibrate(self, number: int, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """FIT protocol: orientation · ((counts − level shift − offset) · factor / divisor)."""
        calibration = self._calibration.get(number, {})
        absent = [name for one, name in _CALIBRATION_FIELDS.items() if calibration.get(one) is None]
        if not absent and (not calibration[2] or len(calibration[4]) != 3 or len(calibration[5]) != 9):
            absent = ["divisor other than 0, offset of 3 and orientation of 9 values"]
        if absent:
            raise UnitError(
                where=self.where,
                expected=f"message {CALIBRATION} three_d_sensor_calibration before the raw counts of message {number} "
                f"{_NAMES[number]}",
                got="none" if not calibration else f"one without {', '.join(absent)}",
                remedy="Record calibrated values; raw counts cannot be converted to g or deg/s.",
            )
        offset = np.array(calibration[4], np.float64)
        orientation = np.array(calibration[5], np.float64).reshape(3, 3) / _FULL_TURN
        scaled = (counts - calibration[3] - offset) * (calibration[1] / calibration[2])
        return np.asarray(scaled @ orientation.T, np.float64)


def _numbers(value: Any) -> NDArray[np.float64]:
    """The values of a field; those that the device marks as invalid become NaN."""
    values = value if isinstance(value, tuple) else (value,)
    return np.array([np.nan if one is None else one for one in values], np.float64)
