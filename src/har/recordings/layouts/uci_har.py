"""UCI HAR (Anguita et al. 2013): windows of 128 samples at 50 Hz from a phone on the waist, 30 subjects, 6 activities.

`{train,test}/Inertial Signals/{total_acc,body_gyro}_{x,y,z}_{train,test}.txt` hold one window per line (g and
rad/s), `subject_….txt` and `y_….txt` its subject and activity. Consecutive windows overlap by half: windows whose
halves match are joined, so that a project can cut windows of another length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import MalformedRowError, NotARecordingError, reason
from har.recordings.layouts._layout import Layout, RawRecording, Signal, Source

RATE_HZ = 50
LENGTH = 128
ACTIVITIES = ["WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING"]
"""By number, from 1, as in the published activity_labels.txt."""
_DOWNLOAD_AGAIN = "Download the data set again."
_HALF = LENGTH // 2
_INTERVAL_US = 1_000_000 // RATE_HZ
_PAUSE_US = 10_000_000
"""Assumed between windows that do not overlap; the real length of the pause is not published."""


def _find(source: Source) -> list[Path]:
    return source.files("total_acc_x_*.txt", "._total_acc_x_*.txt")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    part = path.stem[len("total_acc_x_") :]
    windows = np.stack(
        [
            _windows(source.beside(path, f"{kind}_{axis}_{part}.txt"))
            for kind in ("total_acc", "body_gyro")
            for axis in ("x", "y", "z")
        ],
        axis=2,
    )
    subjects = _codes(source.beside(path.parent, f"subject_{part}.txt"), len(windows))
    numbers = source.beside(path.parent, f"y_{part}.txt")
    activities = _codes(numbers, len(windows))
    if activities.min() < 1 or activities.max() > len(ACTIVITIES):
        raise MalformedRowError(
            where=str(numbers),
            expected=f"activities from 1 to {len(ACTIVITIES)}",
            got=f"{activities.min()} to {activities.max()}",
            remedy=_DOWNLOAD_AGAIN,
        )
    for subject in np.unique(subjects):
        rows = np.flatnonzero(subjects == subject)
        yield _joined(path, part, int(subject), windows[rows], activities[rows])


def _joined(
    path: Path, part: str, subject: int, windows: NDArray[np.float64], codes: NDArray[np.int64]
) -> RawRecording:
    # A window continues the previous one if its first half equals the second half of that one.
    continues = np.zeros(len(windows), np.bool_)
    continues[1:] = (windows[1:, :_HALF] == windows[:-1, _HALF:]).all(axis=(1, 2)) & (codes[1:] == codes[:-1])
    pieces: list[NDArray[np.float64]] = []
    times: list[NDArray[np.int64]] = []
    labels: list[NDArray[np.int64]] = []
    now_us = 0
    for window, code, joined in zip(windows, codes, continues, strict=True):
        new = window[_HALF:] if joined else window
        now_us += 0 if joined or not pieces else _PAUSE_US
        times.append(now_us + np.arange(len(new), dtype=np.int64) * _INTERVAL_US)
        now_us += len(new) * _INTERVAL_US
        pieces.append(new)
        labels.append(np.full(len(new), code - 1))
    values = np.concatenate(pieces)
    return RawRecording(
        where=f"{path.parent.parent}, subject {subject}",
        subject=f"s{subject:02d}",
        session=part.lower(),
        times_us=np.concatenate(times),
        clock="counted",
        accelerometer=Signal(values[:, :3], "g"),
        gyroscope=Signal(values[:, 3:], "rad/s"),
        labels=pl.Series(ACTIVITIES).gather(np.concatenate(labels)),
        placement="waist",
        device="phone",
        faults=Counter({"pauses of unknown length, set to 10 s": int((~continues[1:]).sum())}),
    )


def _windows(path: Path) -> NDArray[np.float64]:
    """float64 (n, 128)."""
    values = _numbers(path).reshape(-1)
    lines = sum(1 for line in path.read_bytes().splitlines() if line.strip())
    if len(values) != lines * LENGTH:
        raise MalformedRowError(
            where=str(path),
            expected=f"{LENGTH} numbers in every line",
            got=f"{len(values)} in {lines} lines",
            remedy=f"A line is cut short. {_DOWNLOAD_AGAIN}",
        )
    return values.reshape(-1, LENGTH)


def _codes(path: Path, count: int) -> NDArray[np.int64]:
    codes = _numbers(path)
    if len(codes) != count:
        raise MalformedRowError(
            where=str(path),
            expected=f"{count} lines, one per window",
            got=str(len(codes)),
            remedy=_DOWNLOAD_AGAIN,
        )
    return codes.astype(np.int64)


def _numbers(path: Path) -> NDArray[np.float64]:
    if not path.is_file():
        raise NotARecordingError.missing(
            str(path), "a file of the data set", "Unpack all of it: Inertial Signals, subject_….txt and y_….txt."
        )
    try:
        values = np.array(path.read_bytes().split(), np.float64)
    except ValueError as error:
        raise MalformedRowError(
            where=str(path), expected="numbers", got=reason(error), remedy=_DOWNLOAD_AGAIN
        ) from error
    if not len(values):
        raise MalformedRowError(where=str(path), expected="numbers", got="an empty file", remedy=_DOWNLOAD_AGAIN)
    finite = np.isfinite(values)
    if not finite.all():
        raise MalformedRowError(
            where=str(path), expected="finite numbers", got=str(values[~finite][0]), remedy=_DOWNLOAD_AGAIN
        )
    return values


LAYOUT = Layout(
    "uci-har", "UCI HAR, Inertial Signals as published (phone on the waist, 50 Hz, 6 activities)", _find, _read
)
