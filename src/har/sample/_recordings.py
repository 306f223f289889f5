"""The embedded sample: 140 Apple Watch recordings of 7 shoulder exercises, from the package seglearn.

Burns et al., arXiv 1802.01489: 10 subjects did each exercise once per wrist; 50 Hz, no timestamps.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from har.errors import NotARecordingError, NotEnoughDataError

RATE_HZ = 50
ACTIVITIES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
"""Pendulum, abduction, forward elevation, internal and external rotation, trapezius extension, upright row."""

_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
_SIDES = ("left", "right")  # as seglearn's load_watch documents 0 and 1
_REMEDY = "Install the extra `sample`, or: pip install seglearn==1.2.5"


@dataclass(frozen=True, eq=False)
class SampleRecording:
    """One recording of the sample.

    Attributes:
        subject: "s01" to "s10".
        wrist: "left" or "right".
        activity: one of `ACTIVITIES`, throughout the recording.
        accel_g: float64 (n, 3), total acceleration in g, 50 Hz.
        gyro_rad_s: float64 (n, 3), angular rate in rad/s.
    """

    subject: str
    wrist: str
    activity: str
    accel_g: NDArray[np.float64]
    gyro_rad_s: NDArray[np.float64]


def sample_recordings() -> list[SampleRecording]:
    """All 140 recordings, sorted by subject, activity and wrist.

    Raises:
        NotEnoughDataError: the package seglearn is not installed.
        NotARecordingError: its data file is not the published one.
    """
    path = _find()
    content = path.read_bytes()
    # The file is a pickle, which can run code: load it only if it is the published one.
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != _SHA256:
        raise NotARecordingError(
            where=str(path),
            expected=f"the file with SHA-256 {_SHA256[:12]}…",
            got=f"{sha256[:12]}…",
            remedy=_REMEDY,
        )
    data = np.load(io.BytesIO(content), allow_pickle=True).item()
    recordings = [
        SampleRecording(
            subject=f"s{int(subject):02d}",
            wrist=_SIDES[int(side)],
            activity=ACTIVITIES[int(label)],
            accel_g=values[:, :3],
            gyro_rad_s=values[:, 3:],
        )
        for values, subject, side, label in zip(data["X"], data["subject"], data["side"], data["y"], strict=True)
    ]
    return sorted(recordings, key=lambda one: (one.subject, ACTIVITIES.index(one.activity), one.wrist))


def _find() -> Path:
    spec = importlib.util.find_spec("seglearn")  # finds the folder without importing the package and its dependencies
    if spec is None or spec.origin is None:
        raise NotEnoughDataError(
            expected="the package seglearn, which contains the sample recordings", got="none", remedy=_REMEDY
        )
    path = Path(spec.origin).parent / "data" / "watch_dataset.npy"
    if not path.is_file():
        raise NotEnoughDataError(where=str(path), expected="the sample recordings", got="no such file", remedy=_REMEDY)
    return path
