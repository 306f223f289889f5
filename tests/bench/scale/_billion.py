"""Scoring from 10 to 300 million samples, and what a billion would take.

The subject-days are partitions of a Delta table as any others, but many have the same content: a generated file is
registered again and again, by a hard link and an entry in the log, so that a large lake costs neither time nor disk.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction, CommitProperties, RemoveAction
from rich.console import Console

from har.inference import Classifier
from har.lake import Lake
from har.lake._readable import DataFile
from har.lake._sums import Sums
from har.lake._table import Table
from har.schema import Partition
from har.settings import load_settings
from tests.bench._lake import DAYS, SUBJECTS, generate
from tests.bench._scoring import make_model, peak_rss_mb, score_lake

SIZES = (10_000_000, 30_000_000, 100_000_000, 300_000_000)
"""Samples; each is scored from an unscored lake of its own."""
_DAY = 150_000
"""Samples of a subject-day: 1,500 windows of 200 samples with half overlap."""
_BUDGET_S = float(os.environ.get("HAR_BENCH_BILLION_S", "240"))
_A_COMMIT = 500
"""Partitions that are registered in one commit."""


class Run(NamedTuple):
    """What scoring a lake took, in a process of its own.

    Attributes:
        samples: in the lake.
        windows: that were scored.
        wall_s: from the plan to the last commit.
        cpu_s: of all threads in that time.
        rss_mb: largest resident memory.
    """

    samples: int
    windows: int
    wall_s: float
    cpu_s: float
    rss_mb: float


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """The figures of this part.

    * `score_windows_300m_vs_10m`: windows per second of processor time with 300 million samples, over those with 10
      million. Elapsed time says as much on a machine that does nothing else, and is given beside it.
    * `rss_300m_vs_10m`: the same of the largest resident memory.
    * `billion_hours`: what a billion samples would take on this machine, from the slope of elapsed time over samples.

    Sizes for which the time (HAR_BENCH_BILLION_S, 240 s) does not suffice are left out; the largest that was measured
    then takes the place of 300 million, and `largest_samples` says which it is.
    """
    settings = load_settings()
    source = Lake(folder / "source", settings.sensors.channels)
    generate(source, settings, SUBJECTS * DAYS * _DAY)
    model = folder / "model.onnx"
    make_model(source, settings, model)
    runs: list[Run] = []
    began = time.monotonic()
    for size in SIZES:
        left = _BUDGET_S - (time.monotonic() - began)
        if len(runs) > 1 and runs[-1].wall_s * size / runs[-1].samples > left:
            console.print(f"billion: {size:,} samples do not fit into the {left:.0f} s that are left")
            break
        root = folder / f"lake-{size}"
        expected = extend(source, Lake(root, settings.sensors.channels), size)
        runs.append(_in_a_process(root, model))
        if runs[-1].samples != expected:
            raise RuntimeError(f"{runs[-1].samples:,} samples were found in a lake of {expected:,}")
        shutil.rmtree(root)
    return figures(runs)


def figures(runs: list[Run]) -> dict[str, Any]:
    """The figures from at least two runs, of increasing size."""
    first, last = runs[0], runs[-1]
    slope, fixed = statistics.linear_regression([run.samples for run in runs], [run.wall_s for run in runs])
    return {
        "score_windows_300m_vs_10m": round(last.windows / last.cpu_s / (first.windows / first.cpu_s), 3),
        "score_windows_300m_vs_10m_elapsed": round(last.windows / last.wall_s / (first.windows / first.wall_s), 3),
        "rss_300m_vs_10m": round(last.rss_mb / first.rss_mb, 3),
        "billion_hours": round((slope * 1e9 + max(0.0, fixed)) / 3600, 3),
        "largest_samples": last.samples,
        "windows_per_s": {f"{run.samples:,}": round(run.windows / run.wall_s) for run in runs},
        "windows_per_cpu_s": {f"{run.samples:,}": round(run.windows / run.cpu_s) for run in runs},
        "rss_mb": {f"{run.samples:,}": round(run.rss_mb) for run in runs},
    }


def extend(source: Lake, target: Lake, samples: int) -> int:
    """Fill an empty lake with so many samples: the subject-days of `source` under further dates; returns how many.

    The first subject-day is written as any other, which makes the table. The files of the others are links to files of
    `source`, committed to the log with their statistics and noted in the table's checksums, as every file is.
    """
    originals = source.samples.files()
    first = (originals[0].date, originals[0].subject)
    target.samples.replace(source.samples.read(partitions=[first]), [first])
    places: list[Partition] = []
    for number in range(max(1, round(samples / _DAY))):
        one = originals[number % len(originals)]
        places.append((one.date + dt.timedelta(days=DAYS * (number // len(originals))), one.subject))
    for begin in range(1, len(places), _A_COMMIT):
        _register(target.samples, originals, places, range(begin, min(len(places), begin + _A_COMMIT)))
    rows = pl.DataFrame(places, {"date": pl.Date, "subject": pl.String}, orient="row").with_columns(
        pl.lit("watch").alias("session"),
        pl.lit("generated").alias("file"),
        pl.format("{}{}", "date", "subject").alias("sha256"),
        pl.lit(_DAY).alias("samples"),
    )
    missing = [
        pl.lit(None, kind).alias(name) for name, kind in target.recordings.schema.items() if name not in rows.columns
    ]
    target.recordings.replace(rows.with_columns(missing), places)
    return target.samples.count()


def _register(samples: Table, originals: list[DataFile], places: list[Partition], numbers: range) -> None:
    folder = Path(str(samples.path))
    actions: list[AddAction | RemoveAction] = []
    files = []
    for number in numbers:
        one, (date, subject) = originals[number % len(originals)], places[number]
        path = folder / f"date={date}" / f"subject={subject}" / f"part-{number:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(one.path, path)
        files.append(path)
        actions.append(
            AddAction(
                path=str(path.relative_to(folder)),
                size=one.size,
                partition_values={"date": str(date), "subject": subject},
                modification_time=path.stat().st_mtime_ns // 1_000_000,
                data_change=True,
                stats=json.dumps({"numRecords": one.rows}),
            )
        )
    table = DeltaTable(str(folder))
    table.create_write_transaction(
        actions,
        mode="append",
        schema=table.schema(),
        partition_by=["date", "subject"],
        commit_properties=CommitProperties(custom_metadata={"har.partitions": str(len(actions))}),
    )
    Sums(folder).add(files)


def _in_a_process(root: Path, model: Path) -> Run:
    """Score in a fresh process, whose memory is scoring's own."""
    command = [sys.executable, "-m", __spec__.name, str(root), str(model)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return Run(*json.loads(result.stdout))


def score(root: Path, model: Path) -> Run:
    """Score a whole lake, on every core and without profiling."""
    settings = load_settings()
    lake = Lake(root, settings.sensors.channels)
    samples = lake.samples.count()
    classifier = Classifier(model, threads=1, arena=True)
    began, busy = time.perf_counter(), time.process_time()
    windows = score_lake(lake, settings, classifier)
    return Run(samples, windows, time.perf_counter() - began, time.process_time() - busy, peak_rss_mb())


if __name__ == "__main__":
    print(json.dumps(score(Path(sys.argv[1]), Path(sys.argv[2]))))
