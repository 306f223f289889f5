"""windows.npz and folds.json in, answers per fold out: MiniRocket's 10,000 features and a ridge classifier.

Runs beside aeon, in an environment of its own, on one thread. The recipe is the authors': features standardised, the
ridge's strength chosen from ten between 1e-3 and 1e3 by leave-one-out on the training windows.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from aeon.transformations.collection.convolution_based import MiniRocket
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CALLS = 100
BATCH = 64


def main(folder: Path) -> None:
    """Train and answer every part that is asked for; one file each, written when it is done."""
    with np.load(folder / "windows.npz") as held:
        series = np.ascontiguousarray(held["windows"].transpose(0, 2, 1), dtype=np.float32)
        labels, folds = held["labels"], held["folds"]
    _pipeline(0).fit(series[:50], np.arange(len(series[:50])) % 2)  # numba compiles at the first call
    for seed, fold in json.loads((folder / "parts.json").read_text(encoding="utf-8")):
        train, test = series[folds != fold], series[folds == fold]
        began = time.process_time()
        model = _pipeline(seed).fit(train, labels[folds != fold])
        seconds = time.process_time() - began
        answers = model.predict(test)
        figures: dict[str, Any] = {"answers": answers.tolist(), "seconds": seconds}
        if seed == 0 and fold == 0:
            figures["bytes"] = len(pickle.dumps(model))
            figures["one_us"] = _median_us(model, test[:1])
            figures["batch_us"] = _median_us(model, test[:BATCH]) / len(test[:BATCH])
        path = folder / f"{seed}-{fold}.json"
        path.with_suffix(".part").write_text(json.dumps(figures), encoding="utf-8")
        path.with_suffix(".part").replace(path)


def _pipeline(seed: int) -> Any:
    return make_pipeline(
        MiniRocket(n_kernels=10_000, random_state=seed, n_jobs=1),
        StandardScaler(with_mean=False),
        RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)),
    )


def _median_us(model: Any, windows: Any) -> float:
    taken = []
    for _ in range(CALLS):
        began = time.thread_time_ns()
        model.predict(windows)
        taken.append(time.thread_time_ns() - began)
    return float(np.median(taken)) / 1e3


if __name__ == "__main__":
    main(Path(sys.argv[1]))
