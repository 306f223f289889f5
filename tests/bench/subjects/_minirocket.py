"""windows.npz in, figures.json out: MiniRocket's 10,000 features and a ridge classifier per fold. Runs beside aeon.

The recipe is the authors': features standardised, the ridge's strength chosen from ten between 1e-3 and 1e3 by
leave-one-out on the training windows.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from aeon.transformations.collection.convolution_based import MiniRocket
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(folder: Path, seed: int) -> None:
    """Judge each fold by a classifier of the others."""
    with np.load(folder / "windows.npz") as held:
        windows, labels, folds = held["windows"], held["labels"], held["folds"]
    series = np.ascontiguousarray(windows.transpose(0, 2, 1), dtype=np.float32)
    answers = np.full_like(labels, -1)
    began = time.perf_counter()
    for fold in np.unique(folds):
        other = folds != fold
        model = make_pipeline(
            MiniRocket(n_kernels=10_000, random_state=seed, n_jobs=-1),
            StandardScaler(with_mean=False),
            RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)),
        )
        model.fit(series[other], labels[other])
        answers[~other] = model.predict(series[~other])
    figures = {
        "accuracy": accuracy_score(labels, answers),
        "macro_f1": f1_score(labels, answers, average="macro"),
        "seconds": time.perf_counter() - began,
    }
    (folder / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
