"""UCI HAPT (Reyes-Ortiz et al. 2015), the raw signals: a phone on the waist, 30 subjects, 12 activities, 50 Hz.

`RawData/acc_expXX_userYY.txt` (g) and `gyro_expXX_userYY.txt` (rad/s) hold x y z in every line. Each line of
`labels.txt` gives experiment, user, activity, and the first and last line of the activity, counted from 1. Most lines
are unlabelled.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import MalformedRowError, NotARecordingError
from har.recordings.layouts._layout import Layout, RawRecording, Signal, Source, sample_times
from har.recordings.layouts._tables.text import Rows, text_rows

RATE_HZ = 50.0
ACTIVITIES = [
    "WALKING",
    "WALKING_UPSTAIRS",
    "WALKING_DOWNSTAIRS",
    "SITTING",
    "STANDING",
    "LAYING",
    "STAND_TO_SIT",
    "SIT_TO_STAND",
    "SIT_TO_LIE",
    "LIE_TO_SIT",
    "STAND_TO_LIE",
    "LIE_TO_STAND",
]
"""By number, from 1, as in the published activity_labels.txt."""
_NAME = re.compile(r"acc_exp(?P<experiment>\d+)_user(?P<user>\d+)\.txt", re.IGNORECASE)
_AXES = ("x", "y", "z")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise NotARecordingError(
            where=str(path), expected="acc_expXX_userYY.txt", got=path.name, remedy="Keep the file names as published."
        )
    partner = source.beside(path, f"gyro_{path.name[len('acc_') :]}")
    labels = source.beside(path, "labels.txt")
    for needed in (partner, labels):
        if not needed.is_file():
            raise NotARecordingError.missing(str(path), f"{needed.name} beside it", "Unpack all of RawData.")
    accelerometer, gyroscope = (
        text_rows(one, str(one), numbers=_AXES, header=_AXES, separator=" ") for one in (path, partner)
    )
    # Samples of the two files match by line number; a line that one file lacks must not shift the others.
    lines, accelerometer_rows, gyroscope_rows = np.intersect1d(
        accelerometer.numbers, gyroscope.numbers, return_indices=True
    )
    faults = accelerometer.faults + gyroscope.faults
    unmatched = len(accelerometer.numbers) + len(gyroscope.numbers) - 2 * len(lines)
    faults += Counter({"lines that only one of the two sensors has, left out": unmatched})
    yield RawRecording(
        where=str(path),
        subject=f"s{int(match['user']):02d}",
        session=f"exp{match['experiment']}",
        times_us=sample_times(lines, RATE_HZ),
        clock="counted",
        accelerometer=Signal(accelerometer.xyz(_AXES)[accelerometer_rows], "g"),
        gyroscope=Signal(gyroscope.xyz(_AXES)[gyroscope_rows], "rad/s"),
        labels=_labels(labels, int(match["experiment"]), int(match["user"]), lines),
        placement="waist",
        device="phone",
        faults=faults,
    )


def _labels(path: Path, experiment: int, user: int, lines: NDArray[np.int64]) -> pl.Series:
    names = ("experiment", "user", "activity", "start", "end")
    table: Rows = text_rows(path, str(path), numbers=names, header=names, separator=" ")
    codes = np.zeros(int(lines.max(initial=0)) + 1, np.int64)
    for row_experiment, row_user, activity, start, end in table.frame.select(names).cast(pl.Int64).iter_rows():
        if (row_experiment, row_user) == (experiment, user):
            if not 1 <= activity <= len(ACTIVITIES):
                raise MalformedRowError(
                    where=str(path),
                    expected=f"an activity from 1 to {len(ACTIVITIES)}",
                    got=str(activity),
                    remedy="Download labels.txt again.",
                )
            codes[start - 1 : end] = activity
    return pl.Series([None, *ACTIVITIES], dtype=pl.String).gather(codes[lines])


LAYOUT = Layout(
    "uci-hapt",
    "UCI HAPT, RawData as published (phone on the waist, 50 Hz, 12 activities)",
    lambda source: source.files("acc_exp*_user*.txt", "._acc_exp*_user*.txt"),
    _read,
)
