"""Scoring beside bare ONNX Runtime, profiling's share of it, and the graph beside its matrix products.

What is compared runs in turn, round by round, and the figure is the median of the rounds' ratios: the machine may be
busy with other things.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console

from har.dataset import load_windows
from har.inference import Classifier, granted_cores
from har.lake import Lake
from har.settings import Settings, load_settings
from tests.bench._lake import DAYS, SUBJECTS, generate
from tests.bench._scoring import forget, make_model, score_lake
from tests.bench.scale._products import products_of

WINDOWS_A_DAY = 1500
"""Of each subject: what a watch gives in fifty minutes at 50 Hz with a window every two seconds."""
BATCHES = (32, 64, 128)
"""Batch sizes that bare ONNX Runtime is tried with; the fastest counts."""
_ROUNDS = int(os.environ.get("HAR_BENCH_ROUNDS", "7"))
_CALLS = 200


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """The figures of this part.

    * `score_vs_bare_ort`: windows per second of the nightly job, from samples in the lake to committed predictions and
      scores, on every core and without profiling; over what as many threads, each with a session of one thread, reach
      with windows that are in memory.
    * `score_profiled_vs_bare_ort`: the same with profiling.
    * `profiling_share`: time that profiling adds, as a share of scoring without it.
    * `…_cpu`: the same by the processor time of all threads: without what is waited for, such as the disk.
    * `onnx_vs_sgemm_…`: see `_graph`; `onnx_vs_sgemm` is the one at the batch size that scoring uses.
    """
    settings = load_settings()
    lake = Lake(folder / "lake", settings.sensors.channels)
    samples = SUBJECTS * DAYS * ((WINDOWS_A_DAY - 1) * settings.stride + settings.length)
    generate(lake, settings, samples)
    model = folder / "model.onnx"
    make_model(lake, settings, model)
    return _end_to_end(lake, settings, model) | _graph(model, settings.scoring.batch_size)


def _end_to_end(lake: Lake, settings: Settings, model: Path) -> dict[str, Any]:
    classifier = Classifier(model, threads=1, arena=True)
    bare = _Bare(model, lake, settings)
    plain: list[_Rate] = []
    profiled: list[_Rate] = []
    resident: list[_Rate] = []
    for _ in range(_ROUNDS):
        resident.append(max((_rate(partial(bare.run, size)) for size in BATCHES), key=lambda rate: rate.wall))
        forget(lake)
        plain.append(_rate(lambda: score_lake(lake, settings, classifier)))
        forget(lake)
        profiled.append(_rate(lambda: score_lake(lake, settings, classifier, profiled=True)))
    figures: dict[str, Any] = {}
    for suffix, kind in (("", "wall"), ("_cpu", "cpu")):
        rates = [[getattr(one, kind) for one in group] for group in (plain, profiled, resident)]
        rounds = list(zip(*rates, strict=True))
        figures |= {
            f"score_vs_bare_ort{suffix}": _median([ours / ort for ours, _, ort in rounds]),
            f"score_profiled_vs_bare_ort{suffix}": _median([watched / ort for _, watched, ort in rounds]),
            f"profiling_share{suffix}": _median([ours / watched - 1 for ours, watched, _ in rounds]),
        }
    return figures | {
        "score_windows_per_s": round(statistics.median(one.wall for one in plain)),
        "bare_ort_windows_per_s": round(statistics.median(one.wall for one in resident)),
        "windows": f"{settings.length}x{len(settings.sensors.channels)}, {WINDOWS_A_DAY} a subject-day",
        "rounds": _ROUNDS,
    }


class _Rate:
    """Windows per second of wall-clock time, and of processor time times the cores."""

    def __init__(self, windows: int, wall_s: float, cpu_s: float) -> None:
        self.wall = windows / wall_s
        self.cpu = windows / cpu_s * granted_cores()


def _rate(work: Callable[[], int]) -> _Rate:
    began, busy = time.perf_counter(), time.process_time()
    windows = work()
    return _Rate(windows, time.perf_counter() - began, time.process_time() - busy)


class _Bare:
    """ONNX Runtime alone: windows of the lake in memory, a session of one thread per core."""

    def __init__(self, model: Path, lake: Lake, settings: Settings) -> None:
        self._sessions = [_session(model.read_bytes()) for _ in range(granted_cores())]
        windows = load_windows(lake, settings)
        self._batches = {size: [windows.batch(slice(n, n + size)) for n in range(0, 1024, size)] for size in BATCHES}

    def run(self, size: int) -> int:
        """Answer some 50,000 windows on each core, in batches of `size`; returns how many in all."""

        def answer(session: onnxruntime.InferenceSession) -> int:
            count = 0
            for _ in range(48):
                for batch in self._batches[size]:
                    session.run(None, {"window": batch})
                    count += len(batch)
            return count

        with ThreadPoolExecutor(len(self._sessions)) as pool:
            return sum(pool.map(answer, self._sessions))


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _graph(model: Path, batch_size: int) -> dict[str, Any]:
    """The time of the graph's matrix products alone, over the whole graph's.

    A second graph has every MatMul and Gemm of the file with the same shapes and constants, and nothing else: what one
    multiplies is an input (see `_products`). Both run in ONNX Runtime on one thread, a call of each in turn, with
    inputs and outputs bound to memory that is kept; the figure is the ratio of the medians of their processor times.
    """
    figures: dict[str, Any] = {}
    for size in sorted({32, 64, batch_size}):
        whole, products = model.read_bytes(), products_of(model, size)
        generator = np.random.default_rng(0)
        calls = [_bound(_session(content), size, generator) for content in (whole, products)]
        times: list[list[int]] = [[], []]
        for number in range(_CALLS + 20):
            for call, taken in zip(calls, times, strict=True):
                began = time.thread_time_ns()
                call()
                if number >= 20:
                    taken.append(time.thread_time_ns() - began)
        graph, alone = (statistics.median(taken) for taken in times)
        figures[f"onnx_vs_sgemm_{size}"] = round(alone / graph, 3)
        figures[f"onnx_us_per_window_{size}"] = round(graph / 1e3 / size, 2)
    return {"onnx_vs_sgemm": figures[f"onnx_vs_sgemm_{batch_size}"], **figures}


def _bound(session: onnxruntime.InferenceSession, size: int, generator: np.random.Generator) -> Callable[[], None]:
    binding = session.io_binding()
    for value in session.get_inputs():
        shape = [size if isinstance(axis, str) else axis for axis in value.shape]
        noise: NDArray[np.float32] = generator.normal(0, 3, shape).astype(np.float32)
        binding.bind_ortvalue_input(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(noise))
    for value in session.get_outputs():
        shape = [size if isinstance(axis, str) else axis for axis in value.shape]
        kept = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32)
        binding.bind_ortvalue_output(value.name, kept)
    return partial(session.run_with_iobinding, binding)


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)
