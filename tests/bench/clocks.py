"""Measure how well an offset between two sensors' clocks is found: recordings are moved apart by known times.

    python -m tests.bench.clocks                    # the embedded sample, of which few recordings are long enough
    python -m tests.bench.clocks --root PROJECT     # the recordings in a project's inbox, such as imported ones

Prints, for each offset, how many recordings could not be compared, were left alone, were moved, and were moved wrongly.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from har.files import write_atomically
from har.recordings import inbox_files, read_recording
from har.recordings.layouts._clocks import UNCOMPARED, Track, on_one_clock
from har.sample import sample_recordings
from har.settings import load_settings

OFFSETS_S = (0.0, 0.3, -0.8, 2.5)
WRONG_S = 0.15
_LARGEST_S = 5.0
_BEGIN_US = 1_700_000_000_000_000

console = Console()
Samples = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Stamps in µs, acceleration (n, 3) and angular rate (n, 3) of one recording."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a project with recordings in its inbox")
    root: Path | None = parser.parse_args().root
    recordings = list(_of_project(root) if root else _of_sample())
    figures = {f"{offset:g}": _figures(recordings, offset) for offset in OFFSETS_S}
    table = Table("offset, s", *next(iter(figures.values())), title=f"{len(recordings)} recordings")
    for offset, row in figures.items():
        table.add_row(offset, *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)
    path = load_settings().path("reports") / "clocks-bench.json"
    write_atomically(path, json.dumps({"recordings": len(recordings), "offsets_s": figures}, indent=1).encode())
    console.print(f"{path} written")


def _of_sample() -> Iterator[Samples]:
    for one in sample_recordings():
        times = _BEGIN_US + np.arange(len(one.accel_g)) * 20_000
        yield times, np.asarray(one.accel_g, np.float64), np.asarray(one.gyro_rad_s, np.float64)


def _of_project(root: Path) -> Iterator[Samples]:
    settings = load_settings(root)
    for file in inbox_files(settings.path("inbox")).files:
        frame = read_recording(file, settings).frame
        values = frame.select(settings.sensors.channels[:6]).to_numpy().astype(np.float64)
        yield frame["time"].to_physical().to_numpy(), values[:, :3], values[:, 3:]


def _figures(recordings: list[Samples], offset_s: float) -> dict[str, Any]:
    apart = round(1e6 * offset_s)
    counts = {"not compared": 0, "left alone": 0, "moved": 0, "wrong": 0}
    errors = []
    for times, acceleration, rotation in recordings:
        stamps, words = on_one_clock(
            Track(times, acceleration),
            Track(times + apart, rotation),
            largest_s=_LARGEST_S,
            where="accelerometer",
            other="gyroscope",
        )
        error = float(np.abs(stamps - times).max()) / 1e6
        if words == UNCOMPARED:
            counts["not compared"] += 1
        elif not words:
            counts["left alone"] += 1
            counts["wrong"] += error > WRONG_S
        else:
            counts["moved"] += 1
            counts["wrong"] += error > WRONG_S
            errors.append(error)
    middle, most = (float(np.quantile(errors, share)) if errors else None for share in (0.5, 0.95))
    return {**counts, "median error, s": middle, "95 % below, s": most}


if __name__ == "__main__":
    main()
