"""A small training from files to a registered, judged model: seeded, on the embedded recordings, in its own folder.

    make train-smoke [SEED=0]

Nothing of it is mocked: replay, ingest, train, ONNX export, registration in MLflow on SQLite, the gate. The figures are
in `build/delivery/train-smoke.json`, with right answers per held-out subject, so that two commits can be compared
subject by subject (`make metric-difference`). The step ends with 1 if the model is no better than guessing.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from har.console import console
from har.files import temporary_folder
from har.project import Project
from har.registry import git_state
from har.settings import Settings, load_settings
from infra.delivery._sample import sample_project
from infra.delivery._step import BAD, results, run_step, write_json

EPOCHS = 4
HELD_OUT_SHARE = 0.5
"""More judges than usual: the confidence interval of a difference resamples subjects."""
NAME = "train-smoke.json"


def train_smoke(settings: Settings, root: Path, *, seed: int = 0) -> dict[str, Any]:
    """Train in a project in `root`, and return the figures.

    Args:
        settings: of the project that is delivered: sensors, windows, network.
        root: an empty folder.
        seed: of the training.

    Returns:
        `metrics` of the registered version, `per_subject` (windows, right) of the held-out subjects, `version`,
        `promoted`, `network`, `seed`, `epochs`, `recipe`, `guessing` (one over the number of activities).
    """
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # the registry of this training is in `root`, too
    made = sample_project(
        settings,
        root,
        training={"epochs": EPOCHS, "seed": seed, "device": "cpu"},
        split={"held_out_share": HELD_OUT_SHARE},
    )
    project = Project(made)
    from har.jobs.ingest import ingest
    from har.jobs.train import train

    ingest(project)
    report = train(project)
    version = project.registry.version(report.version)
    return {
        "network": made.training.network,
        "seed": seed,
        "epochs": EPOCHS,
        "version": report.version,
        "promoted": report.promoted,
        "reasons": list(report.reasons),
        "recipe": version.tags.get("recipe_key", ""),
        "guessing": 1 / len(made.activities.all),
        "metrics": dict(version.metrics),
        "per_subject": _per_subject(project, report.version),
    }


def _per_subject(project: Project, version: int) -> dict[str, dict[str, int]]:
    """Windows and right answers of each held-out subject."""
    from har.dataset import load_windows
    from har.experiment import judge, labelled
    from har.inference import Classifier

    recipe = project.registry.recipe(version)
    windows = labelled(load_windows(project.lake, project.settings, version=recipe.lake_version))
    judges = tuple(recipe.split["held_out"])
    outcome = judge(Classifier(project.registry.model_path(version), threads=1), windows, judges)
    return {
        subject: {
            "windows": int((outcome.subjects == subject).sum()),
            "right": int(outcome.correct[outcome.subjects == subject].sum()),
        }
        for subject in np.unique(outcome.subjects).tolist()
    }


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the file of the figures")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 0))
    options = parser.parse_args()
    settings = load_settings()
    began = time.monotonic()
    with temporary_folder("train-smoke") as folder:
        figures = train_smoke(settings, folder, seed=options.seed)
    git = git_state(settings.root)
    figures |= {"git_commit": git.commit, "git_dirty": git.dirty, "seconds": round(time.monotonic() - began, 1)}
    path = write_json(options.out or results(settings.root) / NAME, figures)
    accuracy = figures["metrics"]["accuracy"]
    console.print(
        f"Training smoke test: accuracy {accuracy:.1%} on {len(figures['per_subject'])} held-out subjects, "
        f"{figures['seconds']:.0f} s; {path}",
        highlight=False,
        soft_wrap=True,
    )
    if accuracy <= figures["guessing"]:
        console.print(f"Expected more than guessing ({figures['guessing']:.1%}), but got {accuracy:.1%}.")
        return BAD
    return 0


if __name__ == "__main__":
    run_step(_main)
