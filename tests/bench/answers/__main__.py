"""Accuracy and changes per hour with and without smoothing, and how often windows of new people count as unknown.

    python -m tests.bench.answers [--root PROJECT] [--seed N]

Needs a project with labelled recordings in its lake. Five folds by subject: nobody is answered by a network that knows
them. Writes reports/answers.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from har.dataset import load_windows
from har.experiment import describe
from har.files import write_atomically
from har.lake import Lake
from har.settings import load_settings
from har.training import FitOptions, Signal, fit, learn_novelty
from har.windows import split_subjects
from tests.bench.answers._smoothing import Fold, figures, folds, joined


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the project's folder; by default this one or the nearest above")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = load_settings(options.root)
    every = load_windows(Lake(settings.path("lake"), settings.sensors.channels), settings)
    windows = every.select(every.labels >= 0)
    signal = Signal.from_settings(settings)
    training = settings.training
    how = FitOptions(training.network, options.seed, training.epochs, training.batch_size, training.device)
    split = split_subjects(np.unique(windows.subjects).tolist(), held_out=settings.split.held_out, seed=options.seed)
    fitted = fit(windows, split.train, split.validation, signal=signal, options=how)
    novelty = learn_novelty(fitted, windows.for_subjects((*split.train, *split.validation)), seed=options.seed)
    metadata = describe(settings, fitted, git_commit="", data_version="", split_id=split.id, novelty=novelty)
    results = list(folds(windows, signal, options=how, count=settings.split.folds))
    step_s = settings.stride / settings.sensors.rate_hz
    apart = [Fold(one.runs, [joined(subject, step_s, options.seed) for subject in one.subjects]) for one in results]
    found: dict[str, Any] = {
        "windows": len(windows),
        "as recorded": figures(results, metadata),
        "joined": figures(apart, metadata),
    }
    if novelty is not None:
        held_out = windows.for_subjects(split.held_out)
        far = novelty.distance(fitted.describe(held_out.batch()).astype(np.float64))
        limit = metadata.unknown_beyond(settings.scoring.unknown_share)
        found["unknown"] = {
            "asked_for": settings.scoring.unknown_share,
            "of_held_out": {name: float((far > limit)[held_out.subjects == name].mean()) for name in split.held_out},
        }
    path = write_atomically(settings.path("reports") / "answers.json", json.dumps(found, indent=1))
    _print(found)
    print(path)


def _print(found: dict[str, Any]) -> None:
    table = Table(title=f"{found['windows']} windows", title_justify="left")
    for heading in ("", "answers", "accuracy by subject", "lowest", "changes per hour"):
        table.add_column(heading)
    for where in ("as recorded", "joined"):
        for name, row in found[where].items():
            accuracy = f"{row['accuracy']:.1%} ± {row['accuracy_sd']:.1%}"
            table.add_row(where, name, accuracy, f"{row['accuracy_least']:.1%}", f"{row['changes_per_hour']:.0f}")
    console = Console()
    console.print(table)
    for name, share in found.get("unknown", {}).get("of_held_out", {}).items():
        console.print(f"{name}: {share:.1%} unknown, {found['unknown']['asked_for']:.1%} asked for")


if __name__ == "__main__":
    main()
