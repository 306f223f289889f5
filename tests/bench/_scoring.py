"""What benchmarks of the nightly job share: a model for a generated lake, the job, and the memory of a process."""

from __future__ import annotations

import resource
import shutil
from functools import partial
from pathlib import Path

import numpy as np

from har.dataset import load_windows
from har.engine import in_threads
from har.experiment import describe
from har.inference import Classifier
from har.jobs.score import Chunk, chunks_to_score, pending, score_chunk
from har.lake import Lake
from har.monitoring import Profiler
from har.settings import Settings
from har.training import FitOptions, Fitted, Signal, export, fit, learn_novelty

_TRAINED_ON = 2000
"""Windows at least; a model's speed does not depend on how much it learned."""


def make_model(lake: Lake, settings: Settings, path: Path) -> Fitted:
    """Write a model of the default network, with a distance, to `path`."""
    windows = load_windows(lake, settings)
    labelled = np.flatnonzero(windows.labels >= 0)
    windows = windows.select(labelled[:: max(1, len(labelled) // _TRAINED_ON)])
    subjects = sorted(set(windows.subjects))
    signal = Signal.from_settings(settings)
    fitted = fit(windows, subjects[:-2], subjects[-2:], signal=signal, options=FitOptions(epochs=1))
    novelty = learn_novelty(fitted, windows)
    metadata = describe(settings, fitted, git_commit="", data_version="generated", split_id="", novelty=novelty)
    export(fitted, path, metadata, novelty=novelty)
    return fitted


def score_lake(lake: Lake, settings: Settings, classifier: Classifier, *, profiled: bool = False) -> int:
    """The nightly job on an unscored lake, on every core: plan, read, window, infer, write; returns the windows."""
    observer = Profiler(lake, settings, classifier.metadata.feature_names, 1) if profiled else None
    work = partial(_windows_of, lake, settings, classifier, observer)
    return sum(in_threads(work, chunks_to_score(lake, pending(lake, 1))))


def _windows_of(lake: Lake, settings: Settings, classifier: Classifier, observer: Profiler | None, chunk: Chunk) -> int:
    return score_chunk(lake, settings, classifier, 1, chunk, observer=observer).windows


def forget(lake: Lake) -> None:
    """Remove what scoring wrote."""
    for table in (lake.predictions, lake.scores, lake.profiles):
        shutil.rmtree(table.path, ignore_errors=True)


def peak_rss_mb() -> float:
    """The peak of this process: Linux hands `ru_maxrss` down from the parent, so its high-water mark is read."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)
