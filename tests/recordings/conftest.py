from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from har.recordings import InboxFile, Recording, read_recording
from har.settings import Settings

HEADER = "time,accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z,activity"
Read = Callable[..., Recording]


@pytest.fixture
def lines() -> Callable[..., list[str]]:
    """Lines of a CSV: the header and `count` samples of a wrist at rest with noise, at 50 Hz from 08:00 UTC."""

    def write(
        count: int = 60, *, start: str = "2024-01-01T08:00:00", step_ms: float = 20, zone: str = "Z"
    ) -> list[str]:
        rng = np.random.default_rng(7)
        begin = dt.datetime.fromisoformat(start)
        written = [HEADER]
        for row in range(count):
            stamp = (begin + dt.timedelta(milliseconds=step_ms * row)).isoformat(timespec="microseconds") + zone
            values = rng.normal([0, 0, 1, 0, 0, 0], 0.01)
            written.append(",".join([stamp, *(f"{value:.6f}" for value in values), "PEN"]))
        return written

    return write


@pytest.fixture
def read(tmp_path: Path, settings: Settings) -> Read:
    """Write text or bytes (or a Parquet frame) as an inbox file, and read it."""

    def write_and_read(content: Any, using: Settings | None = None, suffix: str = ".csv") -> Recording:
        path = tmp_path / "inbox" / "2024-01-01" / f"s01_morning{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "\n".join(content) + "\n"
        if isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            content.write_parquet(path)
        file = InboxFile(path, dt.date(2024, 1, 1), "s01", "morning")
        return read_recording(file, using or settings)

    return write_and_read
