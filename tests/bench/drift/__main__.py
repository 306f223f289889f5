"""Measure false alarms, power and delay of drift alarms; write `reports/drift-bench.json` and `drift-bench.svg`.

By default on the embedded sample, wrist by wrist; with `--data` on each Parquet file of a folder, only printed.
The features are the model's fixed formulas; no model is trained, so class mix and confidence take no part.

The project's engine runs it: HAR_ENGINE__KIND=processes uses all cores, and the figures are the same.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import count
from pathlib import Path

from rich.console import Console

from har.engine import engine_of
from har.files import write_atomically
from har.settings import load_settings
from tests.bench.drift import _data, _show
from tests.bench.drift._days import judge
from tests.bench.drift._figures import figures

console = Console(width=140)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="Parquet files of recordings instead of the sample")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = load_settings()
    if arguments.data is None:
        found, _ = _measure("sample", None, arguments.seed, settings.path("reports") / "drift-bench.svg")
        path = write_atomically(settings.path("reports") / "drift-bench.json", json.dumps(found, indent=1))
        console.print(f"The same figures: {path}")
        return
    for file in sorted(arguments.data.glob("*.parquet")):
        _measure(file.name, file, arguments.seed, None)


def _measure(
    name: str, file: Path | None, seed: int, picture: Path | None
) -> tuple[dict[str, float | int | None], float]:
    settings = load_settings()
    began = time.perf_counter()
    with console.status(f"{name}: computing features …") as status:
        done = count(0)

        def tick(total: int) -> None:
            status.update(f"{name}: judging days, {next(done)} of {total} references …")

        # The import of whylogs' test is not made for threads.
        each = engine_of(settings, thread_safe=False)
        drift = settings.drift.model_copy(update={"min_windows": 8})
        judged = judge(_data.Source(file, settings), drift, each, tick=tick, seed=seed)
    found = figures(judged)
    if picture is not None:
        _show.picture(judged, picture)
    console.print(f"[bold]{name}")
    console.print(_show.table(found, list(judged.delays)))
    seconds = time.perf_counter() - began
    console.print(f"{seconds:.0f} s")
    return found, seconds


if __name__ == "__main__":
    main()
