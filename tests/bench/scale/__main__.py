"""Measure how costs grow with the work; write `reports/scale-bench.json`. Each part is a module of this package.

python -m tests.bench.scale [--only growth dask …]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from har.files import write_atomically
from har.inference import granted_cores
from har.settings import load_settings
from infra.local.server import sigterm_ends_blocks

PARTS = {
    "dask": "one and two workers, and a plain Dask pipeline beside them",
    "growth": "a day's increment and whole-history jobs at 30 to 1,000 days",
    "monitor": "monitoring, the drift index and the list of models in a long history",
    "billion": "scoring from 10 to 300 million samples, and what a billion would take",
    "scoring": "scoring beside bare ONNX Runtime, profiling's share, the graph beside its matrix products",
    "commands": "start of commands and flows",
    "ingestion": "reading files beside polars.read_csv",
    "training": "an epoch beside a bare torch loop",
}
"""Each is the function `measure(folder, console)` of the module `tests.bench.scale._<part>`: it returns figures."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write; a part that is measured again replaces its own figures only."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--output", type=Path, help="in place of reports/scale-bench.json")
    options = parser.parse_args(arguments)
    console = Console()
    path = options.output or load_settings().path("reports") / "scale-bench.json"
    figures = json.loads(path.read_text()) if path.exists() else {}
    for part in options.only:
        began, load = time.monotonic(), os.getloadavg()[0]
        environment = dict(os.environ)
        measure = importlib.import_module(f"tests.bench.scale._{part}").measure
        with (
            sigterm_ends_blocks(),
            tempfile.TemporaryDirectory(prefix="har-bench-") as folder,
            console.status(f"{part}: {PARTS[part]} …"),
        ):
            measured = measure(Path(folder), console)
        os.environ.clear()
        os.environ.update(environment)  # a part may have let HAR_ROOT point to a project of its own
        measured |= {"cores": granted_cores(), "load_before": round(load, 1)}
        figures[part] = measured | {"minutes": round((time.monotonic() - began) / 60, 1)}
        # A run that is interrupted leaves what it measured.
        write_atomically(path, json.dumps(figures, indent=1))
        table = Table(part, "")
        for name, value in figures[part].items():
            table.add_row(name, str(value))
        console.print(table)
    console.print(f"The same figures: {path}")


if __name__ == "__main__":
    main()
