"""Windows of five subjects at three paces, which a network learns in seconds; importable in other processes."""

from __future__ import annotations

import numpy as np

from har.training import Signal
from har.windows import WindowSet, cut

CHANNELS = ("accel_x", "accel_y", "accel_z")
SIGNAL = Signal(CHANNELS, ("m/s^2",) * 3, 50.0, 50, ("SIT", "WALK", "RUN"), ((0, 1, 2),))
SUBJECTS = 5


def paces() -> WindowSet:
    """Three paces per subject, and a tail without a label."""
    time = np.arange(450)[:, None] / SIGNAL.rate_hz
    samples, segments, labels, subjects = [], [], [], []
    for subject in range(SUBJECTS):
        for label in (0, 1, 2, -1):
            generator = np.random.default_rng(10 * subject + label + 1)
            moving = (label > 0) * np.sin(2 * np.pi * 1.4 * max(label, 0) * time + np.arange(3))
            samples.append(np.array([0, 0, 9.8]) + 3 * moving + generator.normal(0, 0.2, moving.shape))
            segments += [len(samples)] * len(time)
            labels += [label] * len(time)
            subjects += [f"s{subject}"] * len(time)
    return cut(
        np.concatenate(samples).astype(np.float32),
        np.array(segments),
        length=SIGNAL.length,
        stride=25,
        labels=np.array(labels),
        subjects=np.array(subjects),
    )
