"""Measure the import of long recordings of research accelerometers beside their decoder alone, `actfast`.

Writes `reports/import-bench.json`: for each format MB/s, seconds, processor seconds and the peak of memory of the
decoder (which holds the whole file), of the reader (decoding in pieces, times, days), and of the whole import
(conversion, checks, resampling for the checks, inbox files). Each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from har.files import write_atomically
from har.importing import survey, write
from har.inference import granted_cores
from har.recordings.layouts import Source, find_layout
from har.sample import sample_recordings
from har.settings import Settings, load_settings
from tests.bench._scoring import peak_rss_mb

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

console = Console()
RATE_HZ = 100
BEGIN = dt.datetime(2024, 5, 6)
LAYOUTS = {".cwa": "axivity", ".gt3x": "actigraph", ".bin": "geneactiv"}
_BLOCKS = 10_000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=7.0, help="of the .cwa file")
    parser.add_argument("--other-days", type=float, default=1.0, help="of the .gt3x and the .bin file")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, file = arguments.measure
        print(json.dumps(_measured(what, Path(file))))
        return
    own = load_settings()
    figures: dict[str, Any] = {"cores": granted_cores(), "load_before": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory(prefix="har-bench-") as folder:
        for suffix in LAYOUTS:
            days = arguments.days if suffix == ".cwa" else arguments.other_days
            path = _file(Path(folder) / f"s1{suffix}", days)
            figures[suffix[1:]] = _format(path, days)
            path.unlink()
    target = write_atomically(own.path("reports") / "import-bench.json", json.dumps(figures, indent=1))
    _print(figures)
    console.print(f"The same figures: {target}")


def _format(path: Path, days: float) -> dict[str, Any]:
    megabytes = path.stat().st_size / 1e6
    found: dict[str, Any] = {"megabytes": round(megabytes, 1), "days": days, "rate_hz": RATE_HZ}
    for what in ("library", "reader", "import"):
        command = [sys.executable, "-m", "tests.bench.importing", "--measure", what, str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = json.loads(done.stdout)
        found[what] = {**figures, "mb_per_s": round(megabytes / figures["seconds"], 1)}
    for what in ("reader", "import"):
        found[f"{what}_beside_library"] = round(found[what]["mb_per_s"] / found["library"]["mb_per_s"], 2)
    return found


def _measured(what: str, path: Path) -> dict[str, float]:
    """Seconds, processor seconds and peak of memory of one way to read a file."""
    settings = _settings()
    layout = find_layout(LAYOUTS[path.suffix])
    with tempfile.TemporaryDirectory(prefix="har-bench-") as folder:
        staging = Path(folder, "staging")
        staging.mkdir()
        import actfast

        begin, busy = time.perf_counter(), time.process_time()
        if what == "library":
            actfast.read(str(path))
        elif what == "reader":
            for _ in layout.read(path, Source(path, {}, settings)):
                pass
        else:
            found = survey(layout, path, settings, staging, inbox=False)
            written = write(found, Path(folder, "inbox"))
            if found.refused or not written.new:
                raise SystemExit(f"nothing imported: {[str(one.error) for one in found.refused]}")
        seconds, processor = time.perf_counter() - begin, time.process_time() - busy
    return {"seconds": round(seconds, 2), "processor_s": round(processor, 2), "peak_mb": round(peak_rss_mb())}


def _settings() -> Settings:
    """The project's, for a device without a gyroscope."""
    own = load_settings()
    content = own.model_dump()
    content["project"]["timezone"] = "UTC"
    content["sensors"]["gyroscope"] = None
    content["sensors"]["accelerometer"] = {"channels": ["accel_x", "accel_y", "accel_z"], "unit": "g", "full_scale": 8}
    return Settings(**content, root=own.root)


def _samples(count: int) -> Iterator[np.ndarray]:
    """Real movements over and over, with a little noise, in g, in parts of whole blocks of every format."""
    real = np.concatenate([one.accel_g for one in sample_recordings()])
    rng = np.random.default_rng(0)
    part = _BLOCKS * 120
    for first in range(0, count, part):
        rows = np.arange(first, min(first + part, count)) % len(real)
        yield np.clip(real[rows] + rng.normal(0, 0.01, (len(rows), 3)), -7.9, 7.9)


def _file(path: Path, days: float) -> Path:
    from devices_support import cwa_blocks, cwa_header, microseconds, write_bin, write_gt3x

    count = int(days * 86_400 * RATE_HZ) // 6000 * 6000
    if path.suffix != ".cwa":
        writer = write_bin if path.suffix == ".bin" else write_gt3x
        return writer(path, np.concatenate([*_samples(count)]), start=BEGIN, rate_hz=RATE_HZ)
    with path.open("wb") as file:
        file.write(cwa_header(rate_hz=RATE_HZ))
        number = 0
        for values in _samples(count):
            counts = np.rint(values * 256).astype(np.int64).reshape(-1, 120, 3)
            # The device is 0.3 % slower than it states.
            starts = microseconds(BEGIN) + np.rint((number + np.arange(len(counts))) * 1.2e6 * 1.003).astype(np.int64)
            file.write(cwa_blocks(counts, starts, rate_hz=RATE_HZ, first=number))
            number += len(counts)
    return path


def _print(figures: dict[str, Any]) -> None:
    table = Table("file", "MB", "way", "s", "processor s", "MB/s", "beside actfast", "peak MB")
    for kind in (suffix[1:] for suffix in LAYOUTS):
        one = figures[kind]
        for what in ("library", "reader", "import"):
            numbers = one[what]
            beside = one.get(f"{what}_beside_library", 1.0)
            row = (numbers["seconds"], numbers["processor_s"], numbers["mb_per_s"], beside, numbers["peak_mb"])
            table.add_row(f".{kind}, {one['days']:g} days", f"{one['megabytes']:,}", what, *map(str, row))
    console.print(table)


if __name__ == "__main__":
    main()
