"""People whose devices are right: the embedded sample, and files of `har import`'s units by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from har.devices import Recorded
from har.plausibility import TO_SI
from har.sample import sample_recordings

UNITS = {"accelerometer": "m/s^2", "gyroscope": "rad/s"}
_SUFFIXES = {"g": "g", "ms2": "m/s^2", "rads": "rad/s", "dps": "deg/s"}

People = dict[str, list[Recorded]]


def sample(side: str = "") -> People:
    """The sample's recordings by subject; one wrist only, if named."""
    found: People = {}
    for one in sample_recordings():
        if side in ("", one.wrist):
            times = np.arange(len(one.accel_g), dtype=np.int64) * 20_000
            recorded = Recorded(
                times,
                one.accel_g * TO_SI["g"],
                one.gyro_rad_s.copy(),
                UNITS,
                f"{one.subject} {one.activity} {one.wrist}",
                counted=True,
                placement="wrist",
                device="Apple Watch",
            )
            found.setdefault(one.subject, []).append(recorded)
    return found


def table(path: Path) -> People:
    """A Parquet file with subject, session, a column of stamps, and columns such as accel_x_g or gyro_z_rads."""
    frame = pl.read_parquet(path)
    time = "timestamp" if "timestamp" in frame.columns else "t_s"
    sensors = {sensor: [name for name in frame.columns if name.startswith(sensor)] for sensor in ("accel", "gyro")}
    found: People = {}
    for (subject, session), group in frame.group_by(["subject", "session"], maintain_order=True):
        if time == "t_s":
            stamps = np.round(group[time].to_numpy() * 1e6).astype(np.int64)
        else:
            stamps = group[time].dt.epoch("us").to_numpy().astype(np.int64)
        values = {
            sensor: group.select(names).to_numpy().astype(np.float64) * TO_SI[_SUFFIXES[names[0].rsplit("_")[-1]]]
            for sensor, names in sensors.items()
        }
        recorded = Recorded(
            stamps,
            values["accel"],
            values["gyro"],
            UNITS,
            f"{subject} {session}",
            counted=time == "t_s",
            placement=path.stem,
        )
        found.setdefault(str(subject), []).append(recorded)
    return found


def even(one: Recorded, rate_hz: float) -> Recorded:
    """On an even grid, so that the stamps of another set's device are not at fault, too."""
    stamps, first = np.unique(one.times_us, return_index=True)
    grid = np.arange(stamps[0], stamps[-1], 1e6 / rate_hz)
    columns = [np.interp(grid, stamps, values[first]) for values in one.accelerometer.T]
    rates = None
    if one.gyroscope is not None:
        rates = np.stack([np.interp(grid, stamps, values[first]) for values in one.gyroscope.T], axis=1)
    return replace(
        one, times_us=np.round(grid).astype(np.int64), accelerometer=np.stack(columns, axis=1), gyroscope=rates
    )


def spread(recorded: list[Recorded], seconds: float, each_s: float) -> list[Recorded]:
    """The first seconds of some recordings, spread over all of them: what somebody records to try a device.

    Args:
        recorded: of one subject.
        seconds: together.
        each_s: at most, of one recording.
    """
    count = min(len(recorded), max(1, round(seconds / each_s)))
    chosen = [recorded[place] for place in np.linspace(0, len(recorded) - 1, count).round().astype(int)]
    return [_first(one, seconds / count) for one in chosen]


def _first(one: Recorded, seconds: float) -> Recorded:
    kept = one.times_us - one.times_us.min() < seconds * 1e6
    return replace(
        one,
        times_us=one.times_us[kept],
        accelerometer=one.accelerometer[kept],
        gyroscope=None if one.gyroscope is None else one.gyroscope[kept],
    )
