"""Apply the calibration that a recording's own stretches at rest give, to all staged files of a source; only if asked.

In: a survey's staged files. Out: the same files with corrected acceleration, which say so in their metadata.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import SettingsError
from har.importing._staged import Staged, Survey
from har.plausibility import GRAVITY, Calibration, Epochs, calibration
from har.recordings import CALIBRATED, NOTES, calibration_text, read_recording
from har.settings import TICKS_PER_SECOND, Accelerometer, Settings


@dataclass(frozen=True)
class Calibrated:
    """What became of the recordings of one source.

    Attributes:
        source: the file that they were read from.
        calibration: what its stretches at rest say; None: they are too few.
        files: how many inbox files were corrected; 0: the calibration cannot be used.
    """

    source: str
    calibration: Calibration | None
    files: int

    @property
    def why_not(self) -> str:
        """Why nothing was corrected; "" if it was."""
        return "too few stretches at rest" if self.calibration is None else self.calibration.reason


def calibrate(survey: Survey, settings: Settings) -> list[Calibrated]:
    """Correct the acceleration of all staged files whose source gives a usable calibration, and note it in each file.

    The days of a source are judged together: a week has more positions at rest than a day.

    Raises:
        SettingsError: the project has no accelerometer.
    """
    sensor = settings.sensors.accelerometer
    if sensor is None:
        raise SettingsError(
            where="har import, --calibrate",
            expected="an accelerometer, [sensors.accelerometer] in har.toml",
            got="none",
            remedy="Leave --calibrate out.",
        )
    done = []
    for source in dict.fromkeys(one.source for one in survey.staged):
        places = [place for place, one in enumerate(survey.staged) if one.source == source]
        parts = [_epochs(survey.staged[place], settings, sensor) for place in places]
        found = calibration(Epochs.joined(parts))
        usable = found is not None and found.usable
        if found is not None and usable:
            for place in places:
                survey.staged[place] = _corrected(survey.staged[place], found, settings, sensor)
        done.append(Calibrated(source, found, len(places) if usable else 0))
    return done


def _epochs(staged: Staged, settings: Settings, sensor: Accelerometer) -> Epochs:
    time = settings.recordings.time_column
    frame = pl.read_parquet(staged.file.path, columns=[time, *sensor.channels], glob=False).sort(time)
    times = _microseconds(frame[time], settings.recordings.time_unit)
    return Epochs.of(times, [frame[name].to_numpy() for name in sensor.channels], sensor.to_si / GRAVITY)


def _microseconds(stamps: pl.Series, unit: str) -> NDArray[np.int64]:
    if isinstance(stamps.dtype, pl.Datetime):
        return stamps.dt.cast_time_unit("us").to_physical().to_numpy()
    return np.round(stamps.to_numpy() * (1e6 / TICKS_PER_SECOND[unit])).astype(np.int64)


def _corrected(staged: Staged, found: Calibration, settings: Settings, sensor: Accelerometer) -> Staged:
    assert found.gain is not None  # noqa: S101  a usable calibration has both
    assert found.offset_mg is not None  # noqa: S101
    frame = pl.read_parquet(staged.file.path, glob=False)
    milli_g = GRAVITY / 1000 / sensor.to_si
    corrected = [
        (pl.col(name).cast(pl.Float64) * gain + offset * milli_g).cast(pl.Float32)
        for name, gain, offset in zip(sensor.channels, found.gain, found.offset_mg, strict=True)
    ]
    frame = frame.with_columns(corrected)
    said = {CALIBRATED: calibration_text(found), **_notes(staged.file.path)}
    frame.write_parquet(staged.file.path, compression="zstd", metadata=said)
    return dataclasses.replace(staged, quality=read_recording(staged.file, settings).quality)


def _notes(path: Path) -> dict[str, str]:
    """What a staged file's metadata say was done to its recording before."""
    metadata = pl.read_parquet_metadata(path)
    return {NOTES: metadata[NOTES]} if NOTES in metadata else {}
