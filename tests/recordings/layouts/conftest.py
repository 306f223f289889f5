from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from har.recordings.layouts import RawRecording, Source, find_layout
from har.sample import sample_recordings
from har.settings import Settings

G = 9.80665
ReadAll = Callable[..., list[RawRecording]]


@pytest.fixture(scope="session")
def signal() -> np.ndarray:
    """Real samples, float64 (900, 6): acceleration in g, angular rate in rad/s, 50 Hz."""
    one = sample_recordings()[0]
    return np.hstack([one.accel_g, one.gyro_rad_s])[:900]


@pytest.fixture
def read_all(settings: Settings) -> ReadAll:
    """Everything that a layout finds under a folder."""

    def read(name: str, path: Path, **options: str) -> list[RawRecording]:
        layout = find_layout(name)
        source = Source(path, options, settings)
        files = [file for file in layout.find(source) if not file.name.startswith("._")]
        return [found for file in files for found in layout.read(file, source)]

    return read
