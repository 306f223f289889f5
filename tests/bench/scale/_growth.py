"""What a day's increment costs in histories of 30 to 1,000 days of 20 subjects, and how whole-history jobs grow.

Each measurement is of a process of its own, beginning after its imports: processor seconds, the median of three new
days. A growth exponent is the slope of log(seconds) over log(days): 0 is flat, 1 linear. HAR_BENCH_DAYS="30 100" takes
other lengths.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from har.jobs.score import remove_old_profiles
from har.lake import Lake
from har.project import open_project
from infra.local.environment import quiet_environment
from tests.bench._server import ROOT
from tests.bench.scale._uploads import History, answer, begin, extend, record

DAYS = (30, 100, 300, 1000)
SAMPLES = 400
"""Per subject and day of the history: eight seconds."""
NEW = 2000
"""Per subject of a new day: forty seconds."""
ROUNDS = 3
WHOLE = (10, 30, 100)
"""Days of whole-history jobs."""
_STEPS = ("ingest", "score", "collect", "idle", "status")


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """Growth exponents, and the seconds that they are made of."""
    lengths = [int(one) for one in os.environ.get("HAR_BENCH_DAYS", "").split()] or list(DAYS)
    os.environ.update(quiet_environment())
    os.environ |= {"HAR_TRAINING__EPOCHS": "3", "HAR_SNAPSHOTS__BEFORE_TRAINING": "false"}
    history = begin(folder / "project", SAMPLES)
    seconds: dict[str, dict[int, float]] = {step: {} for step in _STEPS}
    whole: dict[str, dict[int, float]] = {"ingest_all": {}, "score_all": {}}
    for days in lengths:
        extend(history, days, SAMPLES)
        remove_old_profiles(open_project(history.root))
        _run("ingest", history.root)  # the first look at copied files reads them
        if days in WHOLE:
            whole["score_all"][days] = _score_all(folder, history)
        for step, found in _new_days(history).items():
            seconds[step][days] = found
        console.print(f"{days} days: {', '.join(f'{step} {seconds[step][days]:.2f} s' for step in _STEPS)}")
    for days in WHOLE:
        whole["ingest_all"][days] = _ingest_all(folder, history, days)
    return _figures(seconds, whole)


def _new_days(history: History) -> dict[str, float]:
    """The median seconds of each step with a new day."""
    found: dict[str, list[float]] = {step: [] for step in _STEPS}
    for _ in range(ROUNDS):
        record(history, NEW)
        found["ingest"].append(_run("ingest", history.root))
        found["score"].append(_run("score", history.root))
        answer(history)
        found["collect"].append(_run("collect", history.root))
        _run("score", history.root)  # what was answered online makes the day's page outdated
        found["idle"].append(_run("score", history.root))
        found["status"].append(_run("status", history.root))
    return {step: round(median(times), 3) for step, times in found.items()}


def _ingest_all(folder: Path, history: History, days: int) -> float:
    """Ingest the first days of the inbox into an empty lake."""
    root = folder / f"ingest-{days}"
    _copy_settings(history.root, root)
    inbox = history.project.settings.path("inbox")
    for number in range(days):
        name = history.date(number).isoformat()
        shutil.copytree(inbox / name, root / inbox.relative_to(history.root) / name)
    try:
        return _run("ingest", root)
    finally:
        shutil.rmtree(root)


def _score_all(folder: Path, history: History) -> float:
    """Score a copy of which nothing has been scored."""
    root = folder / "score-all"
    shutil.copytree(history.root, root, ignore=shutil.ignore_patterns("inbox", ".inbox.seen"))
    lake: Lake = open_project(root).lake
    for table in (lake.predictions, lake.scores, lake.profiles, lake.baselines):
        shutil.rmtree(table.path)
        for path in table.path.parent.glob(f".{table.name}.*"):
            path.unlink()
    try:
        return _run("score", root)
    finally:
        shutil.rmtree(root)


def _copy_settings(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    shutil.copy(source / "har.toml", target / "har.toml")


def _run(job: str, root: Path) -> float:
    """Processor seconds of a job in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.scale._day", job, str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{job} on {root} failed:\n{done.stderr[-4000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_s"])


def _figures(seconds: Mapping[str, Mapping[int, float]], whole: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    since = [days for days in seconds["ingest"] if days >= 100] or list(seconds["ingest"])
    steps = {
        "growth_ingest_day": "ingest",
        "growth_score_day": "score",
        "growth_collect": "collect",
        "growth_idle_score": "idle",
        "growth_status": "status",
    }
    return {
        **{name: exponent(since, [seconds[step][days] for days in since]) for name, step in steps.items()},
        "growth_ingest_all": exponent(list(whole["ingest_all"]), list(whole["ingest_all"].values())),
        "growth_score_all": exponent(list(whole["score_all"]), list(whole["score_all"].values())),
        "increment_cpu_s": {step: dict(found) for step, found in seconds.items()},
        "whole_cpu_s": {step: dict(found) for step, found in whole.items()},
    }


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log(seconds) over log(size), by least squares; NaN with fewer than two sizes."""
    if len(sizes) < 2:
        return math.nan
    x, y = ([math.log(value) for value in values] for values in (sizes, seconds))
    middle, level = sum(x) / len(x), sum(y) / len(y)
    spread = sum((one - middle) ** 2 for one in x)
    return round(sum((a - middle) * (b - level) for a, b in zip(x, y, strict=True)) / spread, 3)
