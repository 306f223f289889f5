"""A day's monitoring, the drift index and the list of models in a long history: `growth_monitor_day` and others.

A growth is the exponent of CPU time between 100 and 1,000 days × 20 subjects: 0 is flat, 1 is linear. Each figure is
the median of three fresh processes, imports left out; before them, one run brings what is kept up to date.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.scale._history import History
from tests.bench.scale._versions import add_versions

DAYS = (30, 100, 300, 1000)
VERSIONS = (50, 200)
_ROUNDS = 3
_STEPS = "tests.bench.scale._steps"


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """Grow one history, and measure at each length.

    Args:
        folder: gets the project.
        console: shows what is measured.

    Returns:
        The figures, CPU seconds unless their names say otherwise.
    """
    history = History(folder)
    figures: dict[str, Any] = {}
    for days in DAYS:
        console.print(f"{days} days × 20 subjects")
        history.extend(days - _ROUNDS - 1)
        _fresh("monitor", history, before=_a_day_more)
        rounds = [_fresh("monitor", history, before=_a_day_more) for _ in range(_ROUNDS)]
        index = [_fresh("index", history) for _ in range(_ROUNDS)]
        figures |= {
            f"monitor_day_{days}_s": _median(rounds, "cpu_s"),
            f"monitor_day_{days}_wall_s": _median(rounds, "wall_s"),
            f"drift_index_{days}_s": _median(index, "cpu_s"),
            f"drift_index_{days}_kb": index[0]["drift_kb"],
            f"pages_index_{days}_kb": index[0]["all_kb"],
        }
    for versions in VERSIONS:
        console.print(f"{versions} versions")
        add_versions(history.project.registry, versions)
        rounds = [_fresh("models", history) for _ in range(_ROUNDS)]
        figures |= {
            f"models_{versions}_s": _median(rounds, "changed_s"),
            f"models_{versions}_unchanged_s": _median(rounds, "unchanged_s"),
            f"champion_{versions}_ms": _median(rounds, "champion_ms"),
        }
    return figures | {
        "growth_monitor_day": _exponent(figures, "monitor_day_{}_s", 100, 1000),
        "growth_drift_index": _exponent(figures, "drift_index_{}_s", 100, 1000),
        "growth_models": _exponent(figures, "models_{}_s", *VERSIONS),
    }


def _fresh(step: str, history: History, before: Callable[[History], None] | None = None) -> dict[str, float]:
    if before:
        before(history)
    command = [sys.executable, "-m", _STEPS, step, str(history.project.settings.root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    if step == "monitor":
        history.days += 1
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _a_day_more(history: History) -> None:
    history.add_scored_day()


def _median(rounds: list[dict[str, float]], name: str) -> float:
    return round(statistics.median(one[name] for one in rounds), 4)


def _exponent(figures: dict[str, Any], name: str, few: int, many: int) -> float:
    ratio = figures[name.format(many)] / figures[name.format(few)]
    return round(math.log(ratio) / math.log(many / few), 3)
