"""Recorded answers of small models, each about people whom it was not trained on: the versions of all replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.jobs._cross_validation import cross_validate
from har.sample import SAMPLE_ACTIVITIES, sample_recordings
from har.settings import STANDARD_GRAVITY, Settings
from har.training import FitOptions, Signal
from har.windows import WindowSet, cut

SEEDS = (0, 1, 2, 3)
"""Retrainings that differ in nothing but their seed."""
WEAK_EPOCHS, WEAK_VALIDATION = 1, 0.6
"""A version of which parts go into worse ones: trained for one epoch, on few people."""
RATE_HZ = 50


@dataclass(frozen=True)
class Recorded:
    """Labelled windows with the answers of several versions.

    Attributes:
        activities: K names.
        subjects: int (N,), numbers of the people.
        recordings: int (N,); the windows of one are consecutive.
        labels: int (N,).
        probabilities: float32 (V, N, K): one version per seed, the weak one last.
    """

    activities: tuple[str, ...]
    subjects: NDArray[np.int64]
    recordings: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Of each version; each person counts the same."""
        right = self.probabilities.argmax(axis=2) == self.labels
        each = [right[:, self.subjects == number].mean(axis=1) for number in np.unique(self.subjects)]
        found: NDArray[np.float64] = np.mean(each, axis=0)
        return found


def sample(settings: Settings) -> tuple[WindowSet, tuple[str, ...]]:
    """The embedded sample's windows, and its activities."""
    pieces = sample_recordings()
    samples = [np.column_stack([one.accel_g * STANDARD_GRAVITY, one.gyro_rad_s]) for one in pieces]
    labels = [SAMPLE_ACTIVITIES.index(one.activity) for one in pieces]
    return _cut(samples, labels, [one.subject for one in pieces], settings), SAMPLE_ACTIVITIES


def folder(file: Path, settings: Settings) -> tuple[WindowSet, tuple[str, ...]]:
    """A Parquet file of recordings at 50 Hz, with subject, session, activity, accel_{xyz}_g and gyro_{xyz}_rads."""
    frame = pl.read_parquet(file)
    activities = tuple(sorted(frame["activity"].drop_nulls().unique().to_list()))
    columns = [f"accel_{axis}_g" for axis in "xyz"] + [f"gyro_{axis}_rads" for axis in "xyz"]
    factors = np.array([STANDARD_GRAVITY] * 3 + [1.0] * 3)
    samples, labels, subjects = [], [], []
    keys = ["subject", "session", "activity"]
    for (subject, _, activity), part in frame.drop_nulls("activity").group_by(keys, maintain_order=True):
        samples.append(part.select(columns).to_numpy().astype(np.float64) * factors)
        labels.append(activities.index(str(activity)))
        subjects.append(str(subject))
    return _cut(samples, labels, subjects, settings), activities


def _cut(samples: list[NDArray[np.float64]], labels: list[int], subjects: list[str], settings: Settings) -> WindowSet:
    lengths = [len(one) for one in samples]
    return cut(
        np.ascontiguousarray(np.concatenate(samples), np.float32),
        np.repeat(np.arange(len(samples)), lengths),
        length=settings.length,
        stride=settings.stride,
        labels=np.repeat(labels, lengths),
        subjects=np.repeat(np.array(subjects), lengths),
    )


def record(windows: WindowSet, activities: Sequence[str], settings: Settings) -> Recorded:
    """Train the versions, and let each answer about the people whom it has not seen."""
    signal = Signal.from_settings(settings)
    signal = signal if tuple(activities) == signal.activities else Signal(**{**vars(signal), "activities": activities})
    training = settings.training
    outcomes = []
    for seeds, epochs, validation in ((SEEDS, training.epochs, 0.2), ((9,), WEAK_EPOCHS, WEAK_VALIDATION)):
        result = cross_validate(
            lambda: windows,
            signal=signal,
            options=FitOptions(training.network, 0, epochs, training.batch_size, "cpu"),
            folds=5,
            seeds=seeds,
            validation=validation,
        )
        outcomes += result.outcomes
    known = windows.select(windows.labels >= 0)
    return Recorded(
        activities=tuple(activities),
        subjects=np.unique(known.subjects, return_inverse=True)[1].astype(np.int64),
        recordings=known.recordings.astype(np.int64),
        labels=known.labels.astype(np.int64),
        probabilities=np.stack([one.probabilities for one in outcomes]),
    )
