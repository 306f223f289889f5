"""The memory of an import does not grow with the number of days in a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_support import START_MS

PROGRAM = """
import resource, sys
from pathlib import Path
from har.importing import survey
from har.recordings.layouts import find_layout
from har.settings import load_settings

columns = {"time": "t", "time-unit": "ms", "accelerometer": "ax,ay,az", "gyroscope": "gx,gy,gz"}
path, root, staging = map(Path, sys.argv[1:])
found = survey(find_layout("csv"), path, load_settings(root), staging, options=columns)
print(len(found.staged), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def _megabytes(tmp_path: Path, project: Path, signal: np.ndarray, days: int) -> tuple[float, int, int]:
    """Of a CSV with `days` recordings of 24 minutes, and of the process that imports it; and the files staged."""
    each = 72_000
    rows = days * each
    values = np.tile(signal, (rows // len(signal) + 1, 1))[:rows] + np.random.default_rng(0).normal(0, 1e-3, (rows, 6))
    stamps = START_MS + np.arange(rows) * 20 + np.arange(rows) // each * 2 * 86_400_000
    table = pl.DataFrame({"t": stamps, **dict(zip(("ax", "ay", "az", "gx", "gy", "gz"), values.T, strict=True))})
    path = tmp_path / f"s01_{days}.csv"
    table.write_csv(path, float_precision=6)
    (tmp_path / f"staging{days}").mkdir()
    arguments = [sys.executable, "-c", PROGRAM, str(path), str(project), str(tmp_path / f"staging{days}")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=300)
    staged, peak = map(int, done.stdout.split())
    return path.stat().st_size / 2**20, peak, staged


@pytest.mark.release
def test_memory_does_not_grow_with_the_days_of_a_file(tmp_path: Path, project: Path, signal: np.ndarray) -> None:
    size, peak, staged = _megabytes(tmp_path, project, signal, days=3)
    larger_size, larger_peak, larger_staged = _megabytes(tmp_path, project, signal, days=12)
    assert (staged, larger_staged) == (3, 12)
    assert larger_size - size > 40
    # About 0.9 MB per MB of CSV; reading all of it at once took more than 5.
    assert larger_peak - peak < 2 * (larger_size - size)
