"""Measure false alarms, power and delay of drift alarms; write `reports/drift-bench.json` and `drift-bench.svg`.

By default on the embedded sample, wrist by wrist; with `--data NAME=FILE` on Parquet files of recordings, too. The
features are the model's fixed formulas, and a linear discriminant answers the windows: no model is trained.

A subject's own history is every other recording of each activity. The sample has one recording of each on each wrist:
there it is the first part of every recording (`--in-time` for all sets), which is optimistic. Neither is of another
day: the strap, the season and the shoes change more from day to day than within a session.

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
from tests.bench.drift import _show
from tests.bench.drift._data import Source
from tests.bench.drift._days import judge
from tests.bench.drift._figures import Figures, figures

console = Console(width=170)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", action="append", default=[], type=_named, metavar="NAME=FILE", help="a further set")
    parser.add_argument("--in-time", action="store_true", help="own history: the first part of each recording")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = load_settings()
    sets = [("sample", Source(None, settings, in_time=True))]
    sets += [(name, Source(file, settings, in_time=arguments.in_time)) for name, file in arguments.data]
    found: dict[str, Figures] = {}
    for name, source in sets:
        found[name] = _measure(name, source, arguments.seed)
        path = write_atomically(settings.path("reports") / "drift-bench.json", json.dumps(found, indent=1))
    console.print(f"The same figures: {path}")


def _named(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not (name and equals and Path(file).is_file()):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE with a file that exists, but got {text!r}")
    return name, Path(file)


def _measure(name: str, source: Source, seed: int) -> Figures:
    settings = source.settings
    began = time.perf_counter()
    with console.status(f"{name}: computing features …") as status:
        done = count(0)

        def tick(total: int) -> None:
            status.update(f"{name}: judging days, {next(done)} of {total} references …")

        # The import of whylogs' test is not made for threads.
        each = engine_of(settings, thread_safe=False)
        # The imitated days are short.
        drift = settings.drift.model_copy(update={"min_windows": 8, "own_history_windows": 40})
        judged = judge(source, drift, each, tick=tick, seed=seed)
    found = figures(judged)
    _show.picture(judged, settings.path("reports") / f"drift-bench{'' if name == 'sample' else f'-{name}'}.svg")
    console.print(f"[bold]{name}[/], own history: {'in time' if source.in_time else 'other recordings'}")
    console.print(_show.power(found, list(judged.delays)))
    console.print(_show.areas(found, list(judged.delays)))
    console.print(f"{time.perf_counter() - began:.0f} s")
    return found


if __name__ == "__main__":
    main()
