"""Measure how often `har check-device` names the true cause; writes `reports/device-bench.json`.

By default on the embedded sample: a reference of left wrists, and for the cause "mirrored" also the same people's right
wrists. With `--data`, on each of these Parquet files, too; the people of the next file wear their device elsewhere.
Each subject is held out once; the reference is learned on the others.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from har.files import write_atomically
from har.settings import load_settings
from tests.bench.devices._confusion import Case, cases, right, summary
from tests.bench.devices._data import People, sample, table

console = Console(width=140)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="*", default=[], metavar="FILE", help="Parquet files of recordings")
    parser.add_argument(
        "--seconds", type=float, nargs="*", default=[180.0, 36.0, 12.0], help="of each held-out subject"
    )
    arguments = parser.parse_args()
    sets: dict[str, tuple[People, float]] = {"sample, left wrist": (sample("left"), 50.0)}
    for path in arguments.data:
        people = table(path)
        rate = 100.0 if "100hz" in path.stem else 50.0
        sets[path.stem] = people, rate
    found: dict[str, Any] = {}
    names = list(sets)
    for place, name in enumerate(names):
        people, rate = sets[name]
        elsewhere = sets[names[(place + 1) % len(names)]][0] if len(names) > 1 else None
        other_side = sample("right") if place == 0 else None
        began = time.perf_counter()
        judged = cases(people, rate, lengths_s=arguments.seconds, elsewhere=elsewhere, other_side=other_side)
        found[name] = {}
        for seconds in arguments.seconds:
            some = [case for case in judged if case.seconds == seconds]
            found[name][f"{seconds:g} s"] = _figures(some)
            _print(name, seconds, some)
        console.print(f"{time.perf_counter() - began:.0f} s")
    path = write_atomically(load_settings().path("reports") / "device-bench.json", json.dumps(found, indent=1))
    console.print(f"The same figures: {path}")


def _figures(some: list[Case]) -> dict[str, Any]:
    faulty = [case for case in some if case.true != "none" and not case.worn_so]
    return {
        "right": round(float(np.mean([right(case) for case in some])), 4),
        "right_of_faulty": round(float(np.mean([right(case) for case in faulty])), 4),
        "wrongly_named": round(float(np.mean([case.named not in (case.true, "none") for case in faulty])), 4),
        "by_cause": summary(some),
    }


def _print(name: str, seconds: float, some: list[Case]) -> None:
    shown = Table("true cause", "cases", "right", "named", title=f"{name}, {seconds:g} s of each subject")
    for cause, row in summary(some).items():
        named = ", ".join(f"{other} {count}" for other, count in dict(row["named"]).items())  # type: ignore[call-overload]
        shown.add_row(cause, str(row["cases"]), f"{row['right']:.1%}", named)
    figures = _figures(some)
    shown.add_section()
    shown.add_row("all", str(len(some)), f"{figures['right']:.1%}", "")
    console.print(shown)


if __name__ == "__main__":
    main()
