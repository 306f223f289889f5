from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from import_support import COLUMNS, Look

from har.importing import Survey, survey
from har.recordings.layouts import find_layout
from har.sample import sample_recordings
from har.settings import Settings


@pytest.fixture(scope="session")
def signal() -> np.ndarray:
    """Real samples, float64 (900, 6): acceleration in g, angular rate in rad/s, 50 Hz."""
    one = sample_recordings()[0]
    return np.hstack([one.accel_g, one.gyro_rad_s])[:900]


@pytest.fixture
def look(tmp_path: Path, settings: Settings) -> Look:
    """`survey` of tmp_path/data, as CSV with the columns above and epoch milliseconds."""

    def run(layout: str = "csv", using: Settings | None = None, **arguments: object) -> Survey:
        staging = tmp_path / "staging" / str(len(list((tmp_path / "staging").glob("*"))))
        staging.mkdir(parents=True)
        if layout == "csv":
            arguments["options"] = {**COLUMNS, "time-unit": "ms", **dict(arguments.get("options", {}))}  # type: ignore[call-overload]
        return survey(find_layout(layout), tmp_path / "data", using or settings, staging, **arguments)  # type: ignore[arg-type]

    return run
