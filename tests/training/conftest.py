"""Synthetic movements: each activity has its frequency and posture, each subject its amplitude."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from har.inference import ModelMetadata
from har.training import FitOptions, Fitted, Signal, fit
from har.windows import WindowSet, cut

CHANNELS = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
UNITS = ("m/s^2",) * 3 + ("rad/s",) * 3


def _signal(
    *, channels: int = 6, rate_hz: float = 50.0, length: int = 100, activities: tuple[str, ...] = ("SIT", "WALK", "RUN")
) -> Signal:
    triples = tuple((first, first + 1, first + 2) for first in range(0, channels - 2, 3))
    return Signal(CHANNELS[:channels], UNITS[:channels], rate_hz, length, activities, triples)


def _record(signal: Signal, label: int, subject: int, seconds: float) -> NDArray[np.float32]:
    generator = np.random.default_rng(1000 * subject + label)
    time = np.arange(round(seconds * signal.rate_hz))[:, None] / signal.rate_hz
    channels = len(signal.channels)
    pace = (0.0, 1.5, 2.8, 4.5)[label] * generator.uniform(0.9, 1.1)
    strength = np.linspace(1.0, 2.0, channels) * generator.uniform(0.6, 1.4) * (pace > 0)
    posture = np.array([5.9, 0.0, 7.8, 0.0, 0.0, 0.0])[:channels]
    moving = strength * np.sin(2 * np.pi * pace * time + np.arange(channels))
    return (posture + moving + generator.normal(0, 0.3, moving.shape)).astype(np.float32)


def _windows(signal: Signal, *, subjects: int = 6, seconds: float = 20.0, labels: tuple[int, ...] = ()) -> WindowSet:
    samples, segments, classes, names = [], [], [], []
    for subject in range(subjects):
        for label in labels or range(len(signal.activities)):
            record = _record(signal, label, subject, seconds)
            segments += [len(samples)] * len(record)
            classes += [label] * len(record)
            names += [f"s{subject:02d}"] * len(record)
            samples.append(record)
    return cut(
        np.concatenate(samples),
        np.array(segments),
        length=signal.length,
        stride=max(1, signal.length // 2),
        labels=np.array(classes),
        subjects=np.array(names),
    )


def _metadata(fitted: Fitted) -> ModelMetadata:
    signal = fitted.signal
    return ModelMetadata(
        project="test",
        network=fitted.network,
        activities=signal.activities,
        channels=signal.channels,
        units=signal.units,
        rate_hz=signal.rate_hz,
        length=signal.length,
        stride=signal.length // 2,
        feature_names=fitted.feature_names,
        temperature=fitted.temperature,
        abstain_below=0.5,
        git_commit="0123abc",
        data_version="samples@7",
        split_id="0123456789ab",
        trained_at="2026-01-02T03:04:05+00:00",
    )


@pytest.fixture(scope="session")
def make_signal() -> Callable[..., Signal]:
    return _signal


@pytest.fixture(scope="session")
def make_windows() -> Callable[..., WindowSet]:
    return _windows


@pytest.fixture(scope="session")
def describe_model() -> Callable[[Fitted], ModelMetadata]:
    return _metadata


@pytest.fixture(scope="session", params=["spectral", "dscnn"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    """One network of each kind, trained on four subjects and validated on one; s05 is for tests."""
    signal = _signal()
    train = ("s00", "s01", "s02", "s03")
    return fit(
        _windows(signal),
        train,
        ("s04",),
        signal=signal,
        options=FitOptions(network=request.param, epochs=6, batch_size=16),
    )
