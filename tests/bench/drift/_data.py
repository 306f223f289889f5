"""Real recordings in, the features of their windows out, as they were recorded and with physical faults.

Faults are applied to the raw signal, before it is cut into windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from har.monitoring.profiles import chosen_features
from har.sample import sample_recordings
from har.settings import STANDARD_GRAVITY, Settings
from har.training import Signal, alone
from har.training._descriptors import Descriptors
from har.windows import cut

RATE_HZ = 50
LONGEST_S = 40
"""Of a recording from a folder, so much is used."""
Fault = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Samples (n, 6) in m/s² and rad/s at 50 Hz to the same with a fault."""


@dataclass(frozen=True)
class Piece:
    """One recording: who, where it was worn, its samples (n, 6) in m/s² and rad/s at 50 Hz, and their labels (n,)."""

    subject: str
    side: str
    samples: NDArray[np.float64]
    labels: NDArray[np.str_]


def _gain(percent: float) -> Fault:
    return lambda samples: samples * np.array([1 + percent / 100] * 3 + [1.0] * 3)


def _offset(axis: int, g: float) -> Fault:
    return lambda samples: samples + g * STANDARD_GRAVITY * np.eye(6)[axis]


def _stuck(axis: int) -> Fault:
    def fault(samples: NDArray[np.float64]) -> NDArray[np.float64]:
        samples = samples.copy()
        samples[:, axis] = samples[0, axis]
        return samples

    return fault


def _half_rate(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every second sample, and a straight line between them: what a device at 25 Hz becomes at 50 Hz."""
    time = np.arange(len(samples))
    return np.stack([np.interp(time, time[::2], column[::2]) for column in samples.T], axis=1)


FAULTS: dict[str, tuple[Fault, ...]] = {
    "turned_180": (lambda samples: samples * np.array([-1, -1, 1, -1, -1, 1.0]),),
    "gain_5": (_gain(5),),
    "gain_10": (_gain(10),),
    "gain_20": (_gain(20),),
    "offset_0.05": tuple(_offset(axis, 0.05) for axis in range(3)),
    "offset_0.1": tuple(_offset(axis, 0.1) for axis in range(3)),
    "offset_0.2": tuple(_offset(axis, 0.2) for axis in range(3)),
    "rate_25": (_half_rate,),
    "stuck_axis": tuple(_stuck(axis) for axis in range(3)),
}
"""The gain is the accelerometer's; offset and stuck axis are one axis of it, day by day another one in turn."""
SLOW: dict[str, tuple[Fault, ...]] = {f"gain_{percent}": (_gain(percent),) for percent in range(1, 31)}
"""A gain that grows by 1 % a day."""
SWAPPED = "swapped_wrist"
"""No fault of the signal: days from the subject's other wrist."""


def sample() -> list[Piece]:
    """The embedded sample."""
    return [
        Piece(
            one.subject,
            one.wrist,
            np.column_stack([one.accel_g * STANDARD_GRAVITY, one.gyro_rad_s]),
            np.full(len(one.accel_g), one.activity),
        )
        for one in sample_recordings()
    ]


def folder(path: Path) -> list[Piece]:
    """The recordings of a Parquet file, with columns subject, session, label, accel_{xyz}_{g,ms2} and gyro_{xyz}_rads.

    Without a column timestamp the rate is taken to be 50 Hz.
    """
    frame = pl.read_parquet(path)
    unit, factor = ("g", STANDARD_GRAVITY) if "accel_x_g" in frame.columns else ("ms2", 1.0)
    columns = [f"accel_{axis}_{unit}" for axis in "xyz"] + [f"gyro_{axis}_rads" for axis in "xyz"]
    pieces = []
    for (subject, _), part in frame.group_by("subject", "session", maintain_order=True):
        values = part.select(columns).to_numpy().astype(np.float64) * np.array([factor] * 3 + [1.0] * 3)
        labels = part["label"].cast(pl.String).to_numpy().astype(str)
        if "timestamp" in part.columns:
            seconds = part["timestamp"].cast(pl.Int64).to_numpy() / 1e9
            seconds, first = np.unique(seconds, return_index=True)
            grid = np.arange(seconds[0], seconds[-1], 1 / RATE_HZ)
            values = np.stack([np.interp(grid, seconds, column[first]) for column in values.T], axis=1)
            labels = labels[first][np.searchsorted(seconds, grid).clip(0, len(seconds) - 1)]
        most = LONGEST_S * RATE_HZ
        pieces.append(Piece(str(subject), "", values[:most], labels[:most]))
    return pieces


@dataclass(frozen=True)
class Windows:
    """All windows of all recordings.

    Attributes:
        names: the profiled features.
        features: per variant float32 (N, F): "none" and, per fault, its variants such as "gain_5/0".
        subjects, sides: str (N,).
        labels: str (N,), the commonest within each window.
        recordings: int (N,).
    """

    names: tuple[str, ...]
    features: dict[str, NDArray[np.float32]]
    subjects: NDArray[np.str_]
    sides: NDArray[np.str_]
    labels: NDArray[np.str_]
    recordings: NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Where windows come from; they are made once in each process.

    Attributes:
        file: Parquet file of recordings; None: the embedded sample.
        settings: of windows and features.
        in_time: a subject's own history is the first part of each recording, and days are drawn from the second; False:
            of every other recording. The former is optimistic, and all there is where an activity was recorded once.
    """

    file: Path | None
    settings: Settings
    in_time: bool

    def windows(self) -> Windows:
        """The windows and their features."""
        return _windows(self.file, self.settings)


@lru_cache(maxsize=1)
def _windows(file: Path | None, settings: Settings) -> Windows:
    pieces = sample() if file is None else folder(file)
    with alone():
        return describe(pieces, settings)


def describe(pieces: list[Piece], settings: Settings) -> Windows:
    """Cut recordings into windows and compute the features that are profiled: fixed formulas, no training."""
    descriptors = Descriptors(Signal.from_settings(settings))
    names = chosen_features(descriptors.names, settings.monitoring)
    columns = [descriptors.names.index(name) for name in names]
    length, stride = settings.length, settings.stride
    variants: dict[str, Fault] = {"none": lambda samples: samples}
    every = {**SLOW, **FAULTS}
    variants |= {f"{name}/{number}": fault for name, faults in every.items() for number, fault in enumerate(faults)}
    pieces = [piece for piece in pieces if len(piece.samples) >= length]
    lengths = np.array([len(piece.samples) for piece in pieces])
    segments = np.repeat(np.arange(len(pieces)), lengths)
    features = {}
    for name, fault in variants.items():
        samples = np.concatenate([fault(piece.samples) for piece in pieces]).astype(np.float32)
        windows = cut(samples, segments, length=length, stride=stride)
        with torch.inference_mode():
            parts = [
                descriptors(torch.from_numpy(windows.batch(slice(first, first + 512))))[:, columns].numpy()
                for first in range(0, len(windows), 512)
            ]
        features[name] = np.concatenate(parts)
        recordings = windows.segments.astype(np.int64)
    return Windows(
        names=tuple(names),
        features=features,
        subjects=np.array([piece.subject for piece in pieces])[recordings],
        sides=np.array([piece.side for piece in pieces])[recordings],
        labels=np.array([label for piece in pieces for label in _labels(piece.labels, length, stride)]),
        recordings=recordings,
    )


def _labels(labels: NDArray[np.str_], length: int, stride: int) -> list[str]:
    """The commonest label within each window of a recording."""
    found = []
    for first in range(0, len(labels) - length + 1, stride):
        names, counts = np.unique(labels[first : first + length], return_counts=True)
        found.append(str(names[counts.argmax()]))
    return found
