"""Score a generated lake on one and on two Dask workers of a thread each, and by a plain Dask pipeline beside them.

The pipeline is what a team writes first: a frame per subject-day, `map_partitions` of features by pandas, a classifier
of scikit-learn. Both read a day from disk, cut the same windows, predict and write. Rounds alternate, so that what else
runs on the machine disturbs all alike.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from har.engine import Engine, open_engine
from har.inference import Classifier
from har.jobs import score as scoring
from har.lake import Lake
from har.monitoring import Profiler
from har.settings import Settings, load_settings
from tests.bench._lake import generate

LENGTH = 128
"""Samples per window, as in most published figures."""
SAMPLES = 6_000_000
CHUNK_SAMPLES = 300_000
PEER_FILES = 6
ROUNDS = 3


@dataclass(frozen=True)
class Part:
    """A chunk of the generated lake, for a worker of another process."""

    settings: Settings
    folder: Path
    chunk: scoring.Chunk

    @property
    def size(self) -> int:
        return self.chunk.samples


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """Windows per second on one and on two workers, the share of time outside of parts, and the peer's."""
    settings = load_settings()
    windows = settings.windows.model_copy(update={"length_s": LENGTH / settings.sensors.rate_hz, "overlap": 0.5})
    settings = settings.model_copy(update={"windows": windows})
    lake = Lake(folder / "lake", settings.sensors.channels)
    samples = generate(lake, settings, SAMPLES)
    _model(lake, settings, folder / "model.onnx")
    chunks = scoring.chunks_to_score(lake, scoring.pending(lake, 1), limit=CHUNK_SAMPLES)
    parts = [Part(settings, folder, chunk) for chunk in chunks]
    files = _peer_files(lake, folder / "peer")
    rates: dict[int, list[float]] = {1: [], 2: []}
    outside: list[float] = []
    peers: list[float] = []
    with ExitStack() as stack:
        engines = {
            workers: stack.enter_context(open_engine(_with_workers(settings, folder, workers))) for workers in rates
        }
        for workers, engine in engines.items():  # models are opened and lazy modules imported
            list(engine.each(score_part, parts[: 2 * workers]))
        for _ in range(ROUNDS):
            for workers, engine in engines.items():
                _forget(lake)
                windows, busy_s, wall_s = _timed(engine, parts)
                rates[workers].append(windows / wall_s)
                if workers == 1:
                    outside.append(1 - busy_s / wall_s)
        peers = _peer_rates(files, settings, folder / "peer")
    one, two = (statistics.median(found) for found in rates.values())
    paired = [after / before / 2 for before, after in zip(*rates.values(), strict=True)]
    return {
        "dask_efficiency_2": round(statistics.median(paired), 3),
        "dask_efficiency_2_rounds": [round(one, 3) for one in paired],
        "dask_overhead_share": round(statistics.median(outside), 3),
        "dask_windows_per_s_1": round(one),
        "dask_windows_per_s_2": round(two),
        "plain_dask_windows_per_s_2": round(statistics.median(peers)),
        "dask_vs_plain_dask": round(two / statistics.median(peers), 1),
        "samples": samples,
        "parts": len(parts),
        "peer_partitions": len(files),
    }


def score_part(part: Part) -> tuple[int, float]:
    """Score a chunk as the nightly job does, with profiles; the windows and seconds."""
    began = time.perf_counter()
    lake, classifier = _opened(part.folder, part.settings.sensors.channels)
    observer = Profiler(lake, part.settings, classifier.metadata.feature_names, 1)
    report = scoring.score_chunk(lake, part.settings, classifier, 1, part.chunk, observer=observer)
    return report.windows, time.perf_counter() - began


@lru_cache(maxsize=1)
def _opened(folder: Path, channels: tuple[str, ...]) -> tuple[Lake, Classifier]:
    return Lake(folder / "lake", channels), Classifier(folder / "model.onnx", threads=1, arena=True)


def _timed(engine: Engine, parts: Sequence[Part]) -> tuple[int, float, float]:
    began = time.perf_counter()
    done = list(engine.each(score_part, parts))
    wall_s = time.perf_counter() - began
    return sum(windows for windows, _ in done), sum(seconds for _, seconds in done), wall_s


def _with_workers(settings: Settings, folder: Path, workers: int) -> Settings:
    paths = settings.paths.model_copy(update={"lake": folder / "lake"})
    engine = settings.engine.model_copy(update={"kind": "dask", "address": "", "workers": workers})
    return settings.model_copy(update={"engine": engine, "paths": paths})


def _forget(lake: Lake) -> None:
    for table in (lake.predictions, lake.scores, lake.profiles):
        shutil.rmtree(table.path, ignore_errors=True)


def _model(lake: Lake, settings: Settings, path: Path) -> None:
    """A model of the default network; its speed does not depend on how much it learned.

    What trains is imported here: a worker, which imports this module, needs none of it.
    """
    from har.dataset import load_windows
    from har.experiment import describe
    from har.training import FitOptions, Signal, export, fit

    windows = load_windows(lake, settings)
    windows = windows.select(np.flatnonzero(windows.labels >= 0)[::50])
    subjects = sorted(set(windows.subjects))
    fitted = fit(
        windows, subjects[:-2], subjects[-2:], signal=Signal.from_settings(settings), options=FitOptions(epochs=1)
    )
    export(fitted, path, describe(settings, fitted, git_commit="", data_version="generated", split_id=""))


def _peer_files(lake: Lake, folder: Path) -> list[Path]:
    """Subject-days as Parquet files, for the peer."""
    folder.mkdir()
    files = []
    for number, partition in enumerate(sorted(lake.samples.partitions())[:PEER_FILES]):
        files.append(folder / f"{number}.parquet")
        lake.samples.read(partitions=[partition]).sort("time").write_parquet(files[-1])
    return files


def _peer_rates(files: Sequence[Path], settings: Settings, folder: Path) -> list[float]:
    """Windows per second of the plain pipeline on two workers; it is taught before."""
    import dask
    import dask.dataframe as frames
    from distributed import Client, LocalCluster
    from sklearn.ensemble import RandomForestClassifier

    channels, length = list(settings.sensors.channels), settings.length
    taught, labels = _peer_features(_peer_read(files[0], channels), channels, length)
    forest = RandomForestClassifier(100, random_state=0, n_jobs=1).fit(taught, labels)
    rates = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
        dask.config.set({"dataframe.convert-string": False}),
    ):
        for number in range(2):
            out = folder / f"out{number}"
            out.mkdir()
            meta = {"windows": "int64"}
            table = frames.from_map(_peer_read, list(files), channels=channels)
            counted = table.map_partitions(_peer_score, channels, length, forest, out, meta=meta)
            began = time.perf_counter()
            windows = int(client.compute(counted).result()["windows"].sum())
            rates.append(windows / (time.perf_counter() - began))
    return rates


def _peer_read(path: Path, channels: Sequence[str]) -> Any:
    import pandas

    return pandas.read_parquet(path, columns=["time", "activity", *channels])


def _peer_features(frame: Any, channels: Sequence[str], length: int) -> tuple[Any, Any]:
    """Per window and channel: mean, deviation, extremes, median, energy; windows overlap by half."""
    import pandas

    tables, labels = [], []
    for start in (0, length // 2):
        rest = frame.iloc[start:]
        rest = rest.iloc[: len(rest) // length * length]
        groups = rest.groupby(np.arange(len(rest)) // length)
        table = groups[list(channels)].agg(["mean", "std", "min", "max", "median", "skew"])
        energy = (rest[list(channels)] ** 2).groupby(np.arange(len(rest)) // length).mean()
        table.columns = ["_".join(name) for name in table.columns]
        tables.append(table.join(energy.add_suffix("_energy")))
        labels.append(groups["activity"].first())
    return pandas.concat(tables), pandas.concat(labels)


def _peer_score(frame: Any, channels: Sequence[str], length: int, forest: Any, out: Path) -> Any:
    import pandas

    if frame["time"].iloc[0].year < 2000:  # Dask calls it once with made-up rows
        return pandas.DataFrame({"windows": [0]})
    features, _ = _peer_features(frame, channels, length)
    found = pandas.DataFrame(forest.predict_proba(features))
    found.columns = list(map(str, forest.classes_))
    found.to_parquet(out / f"{abs(hash(frame['time'].iloc[0]))}-{len(list(out.iterdir()))}.parquet")
    return pandas.DataFrame({"windows": [len(features)]})
