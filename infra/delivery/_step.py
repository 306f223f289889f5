"""What all steps share: where their results go, how they end, and tables in Markdown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from har.errors import HarError
from har.files import make_folder, write_atomically
from infra.local.environment import quiet_environment

RESULTS = Path("build") / "delivery"
"""The folder of all results, below the project's folder; git ignores it, and `make clean` removes it."""

BAD, REFUSED = 1, 2
"""Exit codes, as of `har`: the step ran and its result is bad; it could not run, and the message has the way out."""


def results(root: Path) -> Path:
    """The folder of results, made if it is missing."""
    return make_folder(root / RESULTS)


def write_json(path: Path, values: Mapping[str, Any]) -> Path:
    """Write figures, sorted by name, so that two files can be compared."""
    return write_atomically(path, json.dumps(values, indent=1, sort_keys=True) + "\n")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column is text, all others are figures."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def figure(metrics: Mapping[str, float], name: str) -> str:
    """A figure, with its confidence interval where the project computes one; – where it is missing."""
    if name not in metrics:
        return "–"
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    between = f" ({low:.4f} … {high:.4f})" if low is not None and high is not None else ""
    return f"{metrics[name]:.4f}{between}"


def run_step(main: Callable[[], int]) -> NoReturn:
    """Run a step and end the process: with its status, or with `REFUSED` and the message of a `HarError`."""
    os.environ.update({name: value for name, value in quiet_environment().items() if name not in os.environ})
    try:
        status = main()
    except HarError as error:
        say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
        say.print(f"{type(error).__name__}: {error}")
        sys.exit(REFUSED)
    sys.exit(status)
