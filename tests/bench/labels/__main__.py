"""Measure what labels are worth in the order of `har labels`, beside other orders; write `reports/labels-bench.json`.

A quarter of the subjects has labels. A model trained on them scores half of the subjects, of whom so many windows are
labelled in the order that is measured; a model is trained on both, and judged on the last quarter. Every seed draws
other subjects, and all orders of a seed have the same. By default on the embedded sample, with `--data` on a Parquet
file of recordings with a column `label`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from har.files import write_atomically
from har.monitoring.decisions import most_helpful
from har.sample import sample_recordings
from har.settings import STANDARD_GRAVITY, Settings, load_settings
from har.training import FitOptions, Signal, fit
from har.windows import WindowSet, cut

COUNTS = (25, 50, 100)
RATE_HZ = 50
LONGEST_S = 40
"""Of a recording of `--data`, so much is used."""
_BEGIN = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
_ADDED = "labelled"
"""The subject of windows that got a label, for `fit`."""
Order = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]

console = Console(width=120)


def _random(found: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    return found[random.permutation(len(found))]


def _apart(found: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """By chance, but no two that begin within the same 20 s of a recording, as in `most_helpful`."""
    mixed = _random(found, random).with_columns(pl.col("start").dt.truncate("20s").alias("place"))
    return mixed.unique(["session", "place"], keep="first", maintain_order=True)


ORDERS: dict[str, Order] = {
    "har labels": lambda found, _: most_helpful(found),
    "random": _random,
    "random, apart": _apart,
    "least confident": lambda found, _: found.sort("confidence", "session", "start"),
}


def sample(settings: Settings) -> tuple[WindowSet, Signal]:
    """The windows of the embedded sample."""
    pieces = [
        (one.subject, np.column_stack([one.accel_g * STANDARD_GRAVITY, one.gyro_rad_s]), one.activity)
        for one in sample_recordings()
    ]
    names = tuple(sorted({activity for _, _, activity in pieces}))
    labelled = [(who, values, np.full(len(values), names.index(activity))) for who, values, activity in pieces]
    return _windows(labelled, settings), replace(Signal.from_settings(settings), activities=names)


def recorded(path: Path, settings: Settings) -> tuple[WindowSet, Signal]:
    """The windows of a Parquet file: subject, session, label, accel_{xyz}_{g,ms2}, gyro_{xyz}_rads, or timestamp."""
    frame = pl.read_parquet(path).with_columns(pl.col("label").cast(pl.String))
    unit, factor = ("g", STANDARD_GRAVITY) if "accel_x_g" in frame.columns else ("ms2", 1.0)
    columns = [f"accel_{axis}_{unit}" for axis in "xyz"] + [f"gyro_{axis}_rads" for axis in "xyz"]
    names = tuple(sorted(frame["label"].unique()))
    pieces = []
    for (subject, _), part in frame.group_by("subject", "session", maintain_order=True):
        values = part.select(columns).to_numpy().astype(np.float64) * np.array([factor] * 3 + [1.0] * 3)
        labels = part["label"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
        if "timestamp" in part.columns:
            seconds, first = np.unique(part["timestamp"].cast(pl.Int64).to_numpy() / 1e9, return_index=True)
            grid = np.arange(seconds[0], seconds[-1], 1 / RATE_HZ)
            values = np.stack([np.interp(grid, seconds, column[first]) for column in values.T], axis=1)
            nearest = np.searchsorted(seconds, grid).clip(max=len(seconds) - 1)
            labels = labels[first][nearest]
        pieces.append((str(subject), values[: LONGEST_S * RATE_HZ], labels[: LONGEST_S * RATE_HZ]))
    return _windows(pieces, settings), replace(Signal.from_settings(settings), activities=names)


def measure(windows: WindowSet, signal: Signal, *, seeds: int) -> dict[str, Any]:
    """Accuracy on held-out subjects by order, count and seed, and without further labels."""
    start: list[float] = []
    found: dict[str, dict[int, list[float]]] = {name: {count: [] for count in COUNTS} for name in ORDERS}
    with console.status("") as status:
        for seed in range(seeds):
            random = np.random.default_rng(seed)
            subjects = random.permutation(np.unique(windows.subjects))
            quarter = max(2, len(subjects) // 4)
            known, held_out, asked = subjects[:quarter], subjects[quarter : 2 * quarter], subjects[2 * quarter :]
            pool = np.flatnonzero(np.isin(windows.subjects, asked))
            judge = windows.select(np.isin(windows.subjects, held_out))
            first = _model(windows, known.tolist(), np.empty(0, np.int64), signal, seed)
            start.append(_accuracy(first, judge))
            scored = _scored(first, windows, pool, signal)
            for name, order in ORDERS.items():
                chosen = order(scored, np.random.default_rng([seed, 1]))["index"].to_numpy()
                for count in COUNTS:
                    status.update(f"seed {seed + 1} of {seeds}: {name}, {count} labels …")
                    model = _model(windows, known.tolist(), chosen[:count], signal, seed)
                    found[name][count].append(_accuracy(model, judge))
    return {"start": start, "orders": found}


def _windows(pieces: list[tuple[str, NDArray[np.float64], NDArray[np.int64]]], settings: Settings) -> WindowSet:
    lengths = [len(values) for _, values, _ in pieces]
    recordings = np.repeat(np.arange(len(pieces), dtype=np.int32), lengths)
    windows = cut(
        np.concatenate([values for _, values, _ in pieces]).astype(np.float32),
        recordings,
        length=settings.length,
        stride=settings.stride,
        labels=np.concatenate([labels for _, _, labels in pieces]),
        purity=settings.windows.purity,
        subjects=np.repeat([who for who, _, _ in pieces], lengths),
        recordings=recordings,
    )
    return windows.select(windows.labels >= 0)


def _model(windows: WindowSet, known: list[str], chosen: NDArray[np.int64], signal: Signal, seed: int) -> Any:
    subjects = windows.subjects.astype(object)
    subjects[chosen] = _ADDED
    renamed = replace(windows, subjects=subjects.astype(str))
    options = FitOptions(seed=seed, device="cpu")
    return fit(renamed, [*known, *([_ADDED] if len(chosen) else [])], [], signal=signal, options=options)


def _accuracy(model: Any, windows: WindowSet) -> float:
    probabilities, _ = model.predict(windows.batch(np.arange(len(windows))))
    return float((probabilities.argmax(axis=1) == windows.labels).mean())


def _scored(model: Any, windows: WindowSet, pool: NDArray[np.int64], signal: Signal) -> pl.DataFrame:
    probabilities, _ = model.predict(windows.batch(pool))
    seconds = windows.starts[pool] / RATE_HZ
    return pl.DataFrame(
        {
            "index": pool,
            "date": [_BEGIN.date()] * len(pool),
            "subject": windows.subjects[pool],
            "session": windows.recordings[pool].astype(str),
            "start": [_BEGIN + dt.timedelta(seconds=second) for second in seconds],
            "request_id": [""] * len(pool),
            "activity": np.array(signal.activities)[probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1),
            "unknown": [False] * len(pool),  # the order by confidence is measured, not the share of odd windows in it
        }
    )


def _print(name: str, figures: dict[str, Any], seeds: int) -> None:
    start = np.array(figures["start"])
    table = Table(
        title=f"{name}: accuracy on held-out subjects, {seeds} seeds; without further labels {start.mean():.1%}"
    )
    for heading in ("order", *(f"{count} labels" for count in COUNTS), f"beside random at {COUNTS[-1]}"):
        table.add_column(heading)
    base = np.array(figures["orders"]["random"][COUNTS[-1]])
    for order, found in figures["orders"].items():
        row = [f"{np.mean(found[count]):.1%} ± {np.std(found[count], ddof=1):.1%}" for count in COUNTS]
        gained = np.array(found[COUNTS[-1]]) - base
        half = stats.t.ppf(0.975, seeds - 1) * gained.std(ddof=1) / np.sqrt(seeds)
        table.add_row(order, *row, "" if order == "random" else f"{100 * gained.mean():+.1f} ± {100 * half:.1f} points")
    console.print(table)
    console.print(
        "± after an accuracy: standard deviation over seeds; after a difference: its 95 % interval (t, paired)."
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, metavar="FILE", help="a Parquet file of recordings instead of the sample")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    settings = load_settings()
    torch.set_num_threads(2)
    began = time.perf_counter()
    windows, signal = sample(settings) if arguments.data is None else recorded(arguments.data, settings)
    figures = measure(windows, signal, seeds=arguments.seeds)
    name = "sample" if arguments.data is None else arguments.data.stem
    _print(f"{name}, {len(windows)} windows", figures, arguments.seeds)
    if arguments.data is None:
        path = write_atomically(settings.path("reports") / "labels-bench.json", json.dumps(figures, indent=1))
        console.print(f"The same figures: {path}")
    console.print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
