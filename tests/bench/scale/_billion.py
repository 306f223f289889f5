"""Scoring from 10 to 300 million samples, and what a billion would take.

The subject-days are real partitions of a Delta table, but many of them have the same content: a generated file is
registered again and again, by a hard link and an entry in the log, so that a large lake costs neither time nor disk.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction, CommitProperties
from rich.console import Console

from har.engine import in_threads
from har.inference import Classifier
from har.jobs.score import Chunk, chunks_to_score, pending, score_chunk
from har.lake import Lake
from har.schema import Partition
from har.settings import Settings, load_settings
from tests.bench._lake import DAYS, SUBJECTS, generate
from tests.bench.scale._scoring import make_model

SIZES = (10_000_000, 30_000_000, 100_000_000, 300_000_000)
"""Samples; each is scored from an unscored lake of its own."""
_DAY = 150_000
"""Samples of a subject-day: 1,500 windows of 200 samples with half overlap."""
_BUDGET_S = float(os.environ.get("HAR_BENCH_BILLION_S", "240"))
_A_COMMIT = 500
"""Partitions that are registered in one commit."""
_WAVE = 500
"""Chunks that are handed to the engine at once."""


class Run(NamedTuple):
    """What scoring a lake took, in a process of its own.

    Attributes:
        samples: in the lake.
        windows: that were scored.
        wall_s: from the plan to the last commit.
        cpu_s: of all threads in that time.
        rss_mb: largest resident memory after the first wave's first chunk … and at the end.
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
    model = make_model(source, settings, folder / "model.onnx")
    runs: list[Run] = []
    began = time.monotonic()
    for size in SIZES:
        left = _BUDGET_S - (time.monotonic() - began)
        if len(runs) > 1 and runs[-1].wall_s * size / runs[-1].samples > left:
            console.print(f"billion: {size:,} samples do not fit into the {left:.0f} s that are left")
            break
        root = folder / f"lake-{size}"
        copies = extend(source, Lake(root, settings.sensors.channels), settings, size)
        runs.append(_in_a_process(root, model))
        assert runs[-1].samples == copies
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


def extend(source: Lake, target: Lake, settings: Settings, samples: int) -> int:
    """Fill an empty lake with so many samples: subject-days of `source` under further dates; returns how many.

    The first subject-days are written by `Table.replace`, the others are hard links to files of `source`, committed to
    the log with their statistics, and noted in the table's checksums as every file is.
    """
    originals = source.samples.partitions()
    count = max(1, round(samples / _DAY))
    days = [originals[number % len(originals)] for number in range(count)]
    target.samples.replace(source.samples.read(partitions=originals[:1]), originals[:1])
    known = {part: source.samples._reader.files(DeltaTable(str(source.samples.path)))[part] for part in originals}
    made: list[Partition] = [originals[0]]
    for first in range(1, count, _A_COMMIT):
        numbers = range(first, min(count, first + _A_COMMIT))
        actions, files = [], []
        for number in numbers:
            partition = (days[number][0] + dt.timedelta(days=DAYS * (number // len(originals))), days[number][1])
            (entry,) = known[days[number]]
            name = f"date={partition[0]}/subject={partition[1]}/part-{number:06d}.parquet"
            path = target.samples.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(entry["path"], path)
            files.append(path)
            made.append(partition)
            statistics_ = {"numRecords": entry["num_records"]}
            actions.append(
                AddAction(
                    path=name,
                    size=entry["size_bytes"],
                    partition_values={"date": str(partition[0]), "subject": partition[1]},
                    modification_time=int(path.stat().st_mtime * 1000),
                    data_change=True,
                    stats=json.dumps(statistics_),
                )
            )
        table = DeltaTable(str(target.samples.path))
        table.create_write_transaction(
            actions,
            mode="append",
            schema=table.schema(),
            partition_by=["date", "subject"],
            commit_properties=CommitProperties(custom_metadata={"har.partitions": str(len(actions))}),
        )
        target.samples._reader.sums.add(files)
    rows = pl.DataFrame(
        {
            "date": [date for date, _ in made],
            "subject": [subject for _, subject in made],
            "session": "watch",
            "file": "generated",
            "sha256": [f"{date}{subject}" for date, subject in made],
            "samples": _DAY,
        }
    )
    missing = [pl.lit(None, kind).alias(name) for name, kind in target.recordings.schema.items() if name not in rows]
    target.recordings.replace(rows.with_columns(missing), made)
    return sum(target.samples.counts().values())
