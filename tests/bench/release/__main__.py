"""Measure how often the judge of a release errs, and how soon it is right; write `reports/release-bench.json`.

Small networks are trained on the embedded sample, each asked about people whom it has not seen; their recorded answers
are replayed as releases. By default on the sample; with `--data` on a Parquet file at 50 Hz, only printed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from har.files import write_atomically
from har.release import Limits
from har.settings import Settings, load_settings
from tests.bench.release import _answers, _versions
from tests.bench.release._gates import Seen, judged, require_same, thresholds
from tests.bench.release._many import Prepared
from tests.bench.release._replays import LABELLED, LOOKS, Pair, draws, orders, streams, tallied

console = Console(width=140)

SUBJECTS = (3, 10, 30)
_CHUNK = 250
_COMPARED = 4
"""Replays of each pair and number of subjects that `har.release` judges, too."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, metavar="FILE", help="a Parquet file of recordings instead of the sample")
    parser.add_argument("--replays", type=int, default=10_000, help="of versions that are as good")
    parser.add_argument("--power", type=int, default=500, help="replays of each worse version")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = load_settings()
    torch.set_num_threads(2)
    began = time.perf_counter()
    with console.status("training the versions …"):
        windows, activities = (
            _answers.sample(settings) if options.data is None else _answers.folder(options.data, settings)
        )
        recorded = _answers.record(windows, activities, settings)
    found = measure(recorded, settings, replays=options.replays, power=options.power, seed=options.seed)
    found["seconds"] = round(time.perf_counter() - began)
    show(found)
    if options.data is None:
        path = write_atomically(settings.path("reports") / "release-bench.json", json.dumps(found, indent=1))
        console.print(f"The same figures: {path}")


def measure(recorded: _answers.Recorded, settings: Settings, *, replays: int, power: int, seed: int) -> dict[str, Any]:
    """All figures, as plain values."""
    rng = np.random.default_rng(seed)
    order = orders(recorded, rng)
    limits = Limits.of(settings, disagreement=_versions.disagreement(recorded))
    cases: dict[str, tuple[list[Pair], int]] = {"as good": (_versions.equal_pairs(recorded), replays)}
    for points in (2, 5, 10):
        cases[f"-{points} points"] = (_versions.worse_pairs(recorded, points, rng, sure=False), power)
        cases[f"-{points} points, sure"] = (_versions.worse_pairs(recorded, points, rng, sure=True), power)
    drifted = _versions.better_pairs(recorded, 10, rng)
    cases["+10 points, after a drift"] = (drifted, power)
    cases["+10 points, as evaluated"] = (drifted, power)
    cases["one class broken"] = (_versions.broken_pairs(recorded), power)
    cases["one answer"] = (_versions.single_pairs(recorded), power)
    figures: dict[str, Any] = {}
    for name, (pairs, count) in cases.items():
        _require_same(recorded, pairs[-1], order, rng)
        chosen = replace(limits, disagreement=_versions.differ(pairs)) if name.endswith("as evaluated") else limits
        figures[name] = {"versions": len(pairs), **_case(recorded, pairs, order, chosen, count, rng)}
        console.log(name)
    return {
        "people": len(np.unique(recorded.subjects)),
        "windows": len(recorded.labels),
        "accuracies": [round(float(one), 4) for one in recorded.accuracies],
        "disagreement of retrainings": round(limits.disagreement or 0.0, 4),
        "margin": limits.margin,
        "risk": limits.risk,
        "labelled": LABELLED,
        "looks, windows of each subject": list(LOOKS),
        "cases": figures,
    }


def _case(
    recorded: _answers.Recorded,
    pairs: list[Pair],
    order: np.ndarray,
    limits: Limits,
    count: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Every number of subjects, with labels and without; the replays are spread over the pairs."""
    people = len(order)
    prepared = [Prepared.of(streams(recorded, pair, order, rng)) for pair in pairs]
    cells: dict[str, Any] = {}
    for subjects in SUBJECTS:
        # Per gate, without labels and with them.
        ours, fixed, ranks = ((Seen(), Seen()) for _ in range(3))
        for number, each in enumerate(prepared):
            require_same(each, *draws(people, subjects, _COMPARED, rng), limits)
            left = count // len(pairs) + (number < count % len(pairs))
            while left:
                size = min(left, _CHUNK)
                left -= size
                who, which = draws(people, subjects, size, rng)
                others = draws(people, subjects, size, rng)
                for labels, part in enumerate(judged(each, who, which, limits)):
                    ours[labels].add(part)
                for labels in (False, True):
                    parts = thresholds(each.streams, who, which, others, limits.margin, labels=labels)
                    for total, part in zip((fixed, ranks), parts, strict=True):
                        total[labels].add(part)
        for labels in (False, True):
            cells[f"{subjects} subjects, {'labels' if labels else 'no labels'}"] = {
                "judge": ours[labels].figures(),
                "fixed threshold": fixed[labels].figures(),
                "Mann-Whitney 98 %": ranks[labels].figures(),
            }
    return cells


def _require_same(recorded: _answers.Recorded, pair: Pair, order: np.ndarray, rng: np.random.Generator) -> None:
    """The replays' short cut gives the judge the same evidence as the tally of a running release."""
    each = streams(recorded, pair, order, rng)
    (who,), (which,) = draws(len(order), 5, 1, rng)
    for look in (1, len(LOOKS) - 1):
        short = each.paired(who, which, look, labels=False)
        long = tallied(recorded, pair, order, who, which, look)
        for name in ("blocks", "mix", "former_mix", "kept", "lost_sure", "kept_sure"):
            np.testing.assert_allclose(getattr(short, name), getattr(long, name), err_msg=name)
        np.testing.assert_allclose((short.agreeing, short.sure), (long.agreeing, long.sure))


def show(found: dict[str, Any]) -> None:
    """The figures as a table."""
    table = Table(title="share of releases taken back, and the median delay in requests", title_justify="left")
    for heading in (
        "version",
        "subjects",
        "judge",
        "shown worse",
        "passes",
        "holds",
        "fixed threshold",
        "Mann-Whitney 98 %",
    ):
        table.add_column(heading)
    for name, case in found["cases"].items():
        for key, cell in case.items():
            if key == "versions":
                continue
            judge = cell["judge"]
            others = (cell["fixed threshold"], cell["Mann-Whitney 98 %"])
            delay = "" if judge["delay"] is None else f", {judge['delay']:.0f}"
            table.add_row(
                name,
                key,
                f"{judge['taken back']:.2%}{delay}",
                f"{judge['shown worse']:.1%}",
                f"{judge['passed']:.1%}",
                f"{judge['held']:.1%}",
                *(f"{one['taken back']:.1%}" for one in others),
            )
    console.print(table)


if __name__ == "__main__":
    main()
