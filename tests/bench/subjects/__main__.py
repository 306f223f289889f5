"""Accuracy by subject of the project's network and of MiniRocket + ridge, under the same windows and folds.

    python -m tests.bench.subjects [--root PROJECT] [--seed N]

Needs a project with labelled recordings in its lake. MiniRocket (Dempster et al. 2021, arXiv 2012.08791) is aeon's, in
an environment of its own that is made in a temporary folder. Writes reports/subjects.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from har.dataset import load_windows
from har.files import write_atomically
from har.jobs._cross_validation import cross_validate
from har.lake import Lake
from har.settings import Settings, load_settings
from har.training import FitOptions, Signal
from har.windows import WindowSet

AEON = "aeon==1.6.0"
Figures = dict[str, Any]


def main() -> int:
    """Measure, print and write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the project's folder; by default this one or the nearest above")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = load_settings(options.root)
    windows = load_windows(Lake(settings.path("lake"), settings.sensors.channels), settings)
    windows = windows.select(windows.labels >= 0)
    ours, folds = _network(windows, settings, options.seed)
    with tempfile.TemporaryDirectory(prefix="har-subjects-") as folder:
        peer = _minirocket(windows, folds, options.seed, Path(folder))
    figures = {
        "windows": len(windows),
        "subjects": len(set(windows.subjects.tolist())),
        "folds": len(folds),
        "seed": options.seed,
        "peers": {settings.training.network: ours, "MiniRocket + ridge": peer},
    }
    path = write_atomically(settings.path("reports") / "subjects.json", json.dumps(figures, indent=1))
    _print(figures)
    print(path)
    return 0


def _network(windows: WindowSet, settings: Settings, seed: int) -> tuple[Figures, list[tuple[str, ...]]]:
    began = time.perf_counter()
    result = cross_validate(
        lambda: windows,
        signal=Signal.from_settings(settings),
        options=FitOptions(settings.training.network, 0, settings.training.epochs, settings.training.batch_size),
        folds=settings.split.folds,
        seeds=[seed],
        validation=settings.split.validation,
    )
    flat = result.flat()
    figures = {name: flat[name] for name in ("accuracy", "macro_f1", "accuracy_low", "accuracy_high")}
    return {**figures, "seconds": time.perf_counter() - began}, list(result.folds)


def _minirocket(windows: WindowSet, folds: list[tuple[str, ...]], seed: int, folder: Path) -> Figures:
    fold_of = {subject: number for number, fold in enumerate(folds) for subject in fold}
    np.savez(
        folder / "windows.npz",
        windows=windows.batch(np.arange(len(windows))),
        labels=windows.labels,
        folds=np.array([fold_of[subject] for subject in windows.subjects.tolist()]),
    )
    python = folder / "aeon" / "bin" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", version, str(folder / "aeon")], check=True)
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), AEON], check=True)
    script = Path(__file__).with_name("_minirocket.py")
    subprocess.run([python, "-W", "ignore", script, folder, str(seed)], check=True)
    found: Figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    return found


def _print(figures: Figures) -> None:
    table = Table(
        title=f"{figures['subjects']} subjects, {figures['windows']} windows, {figures['folds']} folds by subject",
        title_justify="left",
    )
    for heading in ("", "accuracy", "macro-F1", "all folds"):
        table.add_column(heading)
    for name, row in figures["peers"].items():
        table.add_row(name, f"{row['accuracy']:.1%}", f"{row['macro_f1']:.1%}", f"{row['seconds']:.0f} s")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
