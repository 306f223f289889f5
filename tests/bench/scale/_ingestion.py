"""Reading files into the lake beside polars' own `read_csv` of the same files, which only parses them.

CPU seconds are compared: both use every core, and other processes take time from a wall clock. Each figure is the least
of some rounds in turn.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from har.jobs.ingest import ingest_files
from har.lake import Lake
from har.recordings import InboxFile, inbox_files, read_recording
from har.settings import Settings, load_settings

HOURS = 1
"""Per file, as devices upload them."""
ROUNDS = 9
SUBJECTS = 8
"""Of the whole job, in one commit."""
JOBS = 3
_NOISE = 0.01


@dataclass(frozen=True)
class _Kind:
    """How files are written: `unit` of the stamps, samples per second, and whether stamps jitter."""

    name: str
    unit: str
    rate_hz: float
    jitter: bool = False


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """Megabytes per CPU second of reading, and of ingesting, over that of `read_csv`; `ingest_vs_read_csv` is the least
    of the files at the project's rate, which are not resampled.
    """
    settings = load_settings()
    rate = settings.sensors.rate_hz
    kinds = [
        _Kind("iso", "iso", rate),
        _Kind("ms", "ms", rate),
        _Kind("jitter", "iso", rate, jitter=True),
        _Kind("resampled", "ms", 2 * rate),
    ]
    figures: dict[str, Any] = {}
    for kind in kinds:
        with console.status(f"ingestion: {kind.name} …"):
            figures |= _measured(folder / kind.name, settings, kind)
    shares = {kind.name: figures[f"ingest_vs_read_csv_{kind.name}"] for kind in kinds}
    least = min(share for name, share in shares.items() if name != "resampled")
    with console.status("ingestion: the whole job …"):
        figures |= _job(folder / "job", settings, kinds[0])
    return {"ingest_vs_read_csv": least, **figures, "file_hours": HOURS, "rounds": ROUNDS}


def _job(folder: Path, settings: Settings, kind: _Kind) -> dict[str, Any]:
    """A date's files of some subjects: planned, hashed, read, compared and committed to a lake."""
    settings = _stamped(settings, kind)
    for number in range(SUBJECTS):
        _write(folder / "2024-01-01" / f"s{number:02d}_a.csv", settings, kind, seed=number)
    files = inbox_files(folder).files
    csv, job = [], []
    for number in range(JOBS):
        began = time.process_time()
        for file in files:
            pl.read_csv(file.path)
        csv.append(time.process_time() - began)
        lake = Lake(folder / f"lake{number}", settings.sensors.channels)
        began = time.process_time()
        report = ingest_files(lake, settings, [InboxFile(**_fields(file)) for file in files])
        job.append(time.process_time() - began)
        assert report.complete
        assert len(report.landed) == SUBJECTS
    return {"ingest_job_vs_read_csv": round(min(csv) / min(job), 2), "job_files": SUBJECTS}


def _stamped(settings: Settings, kind: _Kind) -> Settings:
    return settings.model_copy(update={"recordings": settings.recordings.model_copy(update={"time_unit": kind.unit})})


def _measured(folder: Path, settings: Settings, kind: _Kind) -> dict[str, Any]:
    settings = _stamped(settings, kind)
    _write(folder / "2024-01-01" / "s01_a.csv", settings, kind)
    (file,) = inbox_files(folder).files
    works: dict[str, Callable[[int], object]] = {
        "csv": lambda _: pl.read_csv(file.path),
        "dates": lambda _: pl.read_csv(file.path, try_parse_dates=True),
        "read": lambda _: _hashed_and_read(file, settings),
    }
    least = dict.fromkeys(works, float("inf"))
    for number in range(ROUNDS):
        for name, work in works.items():
            began = time.process_time()
            work(number)
            least[name] = min(least[name], time.process_time() - began)
    size_mb = file.path.stat().st_size / 1e6
    figures = {
        f"ingest_vs_read_csv_{kind.name}": round(least["csv"] / least["read"], 2),
        f"ingest_mb_per_cpu_s_{kind.name}": round(size_mb / least["read"]),
    }
    if kind.unit == "iso":  # with dates parsed, read_csv does a part of what ingestion must do
        figures[f"ingest_vs_read_csv_dates_{kind.name}"] = round(least["dates"] / least["read"], 2)
    return figures


def _hashed_and_read(file: InboxFile, settings: Settings) -> None:
    fresh = InboxFile(**_fields(file))
    with fresh.held():
        assert fresh.sha256
        read_recording(fresh, settings)


def _fields(file: InboxFile) -> dict[str, Any]:
    """What a file's name says: its hash is not kept from one round to the next."""
    return {"path": file.path, "date": file.date, "subject": file.subject, "session": file.session}


def _write(path: Path, settings: Settings, kind: _Kind, seed: int = 0) -> None:
    """A recording of a device that moves a little, as people at rest and at exercise do."""
    rng = np.random.default_rng(seed)
    count = round(HOURS * 3600 * kind.rate_hz)
    start = int(dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC).timestamp()) * 1_000_000
    times = start + np.round(np.arange(count) * 1e6 / kind.rate_hz).astype(np.int64)
    if kind.jitter:
        times += rng.integers(-3000, 3000, count)
    phase = np.cumsum(rng.normal(0, 0.05, count))
    columns: dict[str, Any] = {settings.recordings.time_column: times // 1000}
    if kind.unit == "iso":
        stamps = pl.Series(times).cast(pl.Datetime("us"))
        columns[settings.recordings.time_column] = stamps.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    accelerometer = settings.sensors.accelerometer
    for number, channel in enumerate(settings.sensors.channels):
        level = 0.0
        if accelerometer is not None and channel in accelerometer.channels:
            level = 9.81 / np.sqrt(len(accelerometer.channels)) / accelerometer.to_si
        columns[channel] = np.round(level * (1 + 0.2 * np.sin(phase + number)) + rng.normal(0, _NOISE, count), 6)
    names = np.asarray(settings.activities.all, object)
    columns[settings.recordings.activity_column or "activity"] = names[np.arange(count) // 3000 % len(names)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_csv(path)
