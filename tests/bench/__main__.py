"""Measure scoring, windowing, single-window latency and the online service; write `reports/bench.json`.

`--soak` asks something else, whether the service's memory stays flat, and says so by its exit status.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from har.evaluation import latency
from har.files import write_atomically
from har.inference import Classifier, granted_cores
from har.lake import Lake
from har.settings import Settings, load_settings
from har.windows import cut
from tests.bench import _load, _online, _replicas, _soak, _torch_loop
from tests.bench._lake import generate
from tests.bench._project import LENGTH, with_length
from tests.bench._scoring import forget, make_model, peak_rss_mb, score_lake

console = Console()
PEERS = ((64, 0), (256, 0), (256, 2))
"""Batch sizes and worker processes that the torch loop is tried with; the fastest one is the peer."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--online-rounds", type=int, default=9)
    parser.add_argument(
        "--only",
        choices=("scoring", "online", "replicas", "stream", "scale"),
        help="measure these and keep the file's other figures; stream and scale have files of their own",
    )
    parser.add_argument("--soak", type=int, nargs="?", const=200_000, metavar="REQUESTS", help="200,000 by default")
    parser.add_argument("--score-only", nargs=2, metavar=("FOLDER", "MODEL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settings = load_settings()
    if arguments.only == "stream":
        from tests.bench.stream.__main__ import main as measure_stream

        measure_stream([])
        return
    if arguments.only == "scale":
        from tests.bench.scale.__main__ import main as measure_scale

        measure_scale([])
        return
    if arguments.score_only:
        print(json.dumps(_score_only(settings, *map(Path, arguments.score_only))))
        return
    path = settings.path("reports") / "bench.json"
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="har-bench-") as folder:
        if arguments.soak is not None:
            sys.exit(_soak_test(Path(folder), arguments.soak))
        if arguments.only is not None and path.exists():
            figures = json.loads(path.read_text())
        if arguments.only in (None, "scoring"):
            figures |= _measure(settings, Path(folder), arguments.samples, arguments.rounds)
        if arguments.only in (None, "online"):
            figures |= _measure_online(Path(folder) / "online", arguments.online_rounds)
        if arguments.only in (None, "replicas"):
            figures |= _measure_replicas(Path(folder) / "replicas")
    write_atomically(path, json.dumps(figures, indent=1))
    _print(figures)
    console.print(f"The same figures: {path}")


def _measure_online(folder: Path, rounds: int) -> dict[str, Any]:
    if not _load.available():
        console.print(_load.MISSING)
        return {}
    folder.mkdir()
    return _online.measure(folder, rounds=rounds, console=console)


def _measure_replicas(folder: Path) -> dict[str, Any]:
    if not _load.available():
        console.print(_load.MISSING)
        return {}
    folder.mkdir()
    return _replicas.measure(folder, console=console)


def _soak_test(folder: Path, requests: int) -> int:
    if not _load.available():
        console.print(_load.MISSING)
        return 2
    return int(_soak.soak(folder, requests, console=console) > _soak.LARGEST_GROWTH)


def _measure(settings: Settings, folder: Path, samples: int, rounds: int) -> dict[str, Any]:
    lake = Lake(folder / "lake", settings.sensors.channels)
    own, settings = settings, with_length(settings, LENGTH)
    with console.status(f"Generating a lake of {samples:,} samples …"):
        generate(lake, settings, samples)
        model, own_model = folder / "model.onnx", folder / "own.onnx"
        fitted = make_model(lake, settings, model)
        make_model(lake, own, own_model)
    ours: list[float] = []
    owns: list[float] = []
    shares: list[float] = []
    peers: dict[tuple[int, int], list[float]] = {peer: [] for peer in PEERS}
    with console.status("Scoring, ours and torch loops in turn …"):
        for _ in range(rounds):
            forget(lake)
            ours.append(_rate(lambda: score_lake(lake, settings, Classifier(model, threads=1, arena=True))))
            forget(lake)
            profiled = _rate(
                lambda: score_lake(lake, settings, Classifier(model, threads=1, arena=True), profiled=True)
            )
            shares.append(ours[-1] / profiled - 1)
            forget(lake)
            owns.append(_rate(lambda: score_lake(lake, own, Classifier(own_model, threads=1, arena=True))))
            for (batch_size, workers), rates in peers.items():
                target = folder / "peer"
                rates.append(
                    _rate(
                        lambda target=target, batch_size=batch_size, workers=workers: _torch_loop.score(
                            lake, settings, fitted, target, batch_size=batch_size, workers=workers
                        )
                    )
                )
        alone = _in_a_process_of_its_own(lake, own_model)
    timing = latency(Classifier(model, threads=1), runs=2000)
    best = max(peers, key=lambda peer: statistics.median(peers[peer]))
    rate, torch_rate = statistics.median(ours), statistics.median(peers[best])
    return {
        "score_vs_torch_loop": round(rate / torch_rate, 2),
        "score_windows_per_s": round(rate),
        "torch_loop_windows_per_s": round(torch_rate),
        "torch_loop_batch_size": best[0],
        "torch_loop_workers": best[1],
        "profiling_share": round(statistics.median(shares), 3),
        "score_own_windows_per_s": round(statistics.median(owns)),
        "own_window": f"{own.length}x{len(own.sensors.channels)}",
        "score_peak_rss_mb": round(alone["peak_rss_mb"]),
        **_windowing(),
        "onnx_latency_us_p50": round(timing.p50_us, 1),
        "onnx_latency_us_p99": round(timing.p99_us, 1),
        "onnx_batch_windows_per_s": round(timing.batch_windows_per_s),
        "samples": samples,
        "cores": granted_cores(),
        "window": f"{settings.length}x{len(settings.sensors.channels)}",
        "rounds": rounds,
    }


def _windowing() -> dict[str, int]:
    """Windows of six channels per CPU second: cut and named, and also copied into batches of 64."""
    rows = 8_000_000
    samples = np.zeros((rows, 6), np.float32)
    labels = np.arange(rows) // 3000 % 7
    segments = np.arange(rows) // 400_000
    began = time.process_time()
    windows = cut(samples, segments, length=LENGTH, stride=LENGTH // 2, labels=labels, purity=0.6)
    named = time.process_time()
    for first in range(0, len(windows), 64):
        windows.batch(slice(first, first + 64))
    copied = time.process_time()
    return {
        "windowing_windows_per_cpu_s": round(len(windows) / (named - began)),
        "windowing_with_batches_windows_per_cpu_s": round(len(windows) / (copied - began)),
    }


def _rate(work: Callable[[], int]) -> float:
    began = time.perf_counter()
    windows = work()
    return windows / (time.perf_counter() - began)


def _in_a_process_of_its_own(lake: Lake, model: Path) -> dict[str, float]:
    """Score in a fresh process, whose memory is scoring's own."""
    forget(lake)
    command = [sys.executable, "-m", "tests.bench", "--score-only", str(lake.folder), str(model)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def _score_only(settings: Settings, folder: Path, model: Path) -> dict[str, float]:
    lake = Lake(folder, settings.sensors.channels)
    began = time.perf_counter()
    windows = score_lake(lake, settings, Classifier(model, threads=1, arena=True))
    seconds = time.perf_counter() - began
    return {"windows": windows, "seconds": seconds, "peak_rss_mb": peak_rss_mb()}


def _print(figures: dict[str, Any]) -> None:
    title = ""
    if "samples" in figures:
        title = f"{figures['samples']:,} samples, windows {figures['window']}, {figures['cores']} cores"
    table = Table(title=title)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        if name not in ("samples", "window", "cores"):
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)


if __name__ == "__main__":
    main()
