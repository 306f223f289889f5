"""CSV files to import, in g and rad/s at 50 Hz."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from har.importing import Survey

Look = Callable[..., Survey]
HEADER = "t,ax,ay,az,gx,gy,gz,what"
COLUMNS = {"time": "t", "accelerometer": "ax,ay,az", "gyroscope": "gx,gy,gz", "activity": "what"}
START_MS = 1_714_986_000_000


def rows_of(signal: np.ndarray, activity: str = "PEN", *, stamps: np.ndarray | None = None) -> list[str]:
    stamps = START_MS + np.arange(len(signal)) * 20 if stamps is None else stamps
    return [
        ",".join([str(stamp), *(repr(float(value)) for value in row), activity])
        for stamp, row in zip(stamps.tolist(), signal, strict=True)
    ]


def put(tmp_path: Path, rows: list[str], name: str = "s01_a.csv") -> Path:
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path
