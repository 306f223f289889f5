"""How long commands and flow runs take to start: CPU seconds of their processes, the least of some rounds.

CPU seconds are what a command takes on an idle core; a wall clock also counts what other processes do meanwhile.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from har.project import Project
from infra.local.server import local_server
from tests.bench._server import ROOT
from tests.bench.scale._history import History

VERSIONS = 200
ROUNDS = 3
COMMANDS = {"help": "--help", "models": "models", "status": "status", "score_idle": "score", "collect_idle": "collect"}

_PROBE = """
def probe(*_):
    import os, time
    print(time.process_time(), flush=True)
    os._exit(0)
"""
_BARE = f"""{_PROBE}
from prefect import flow, task

@flow(name="bare")
def bare():
    task(probe)()

bare()
"""
_OURS = f"""{_PROBE}
import har.jobs.ingest
from flows.ingest import ingest

har.jobs.ingest.ingest_part = probe
ingest()
"""


def measure(folder: Path, console: Console) -> dict[str, Any]:
    """Seconds of commands in a project of a few days and `VERSIONS` versions, and of a flow run up to its first task.

    `flow_overhead_vs_bare`: a run of `ingest`, over one of a flow of Prefect's that does nothing.
    """
    with console.status("commands: a project …"):
        project = History(folder).project
        _more_versions(project, VERSIONS)
    figures: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        with console.status(f"commands: har {command} …"):
            line = [sys.executable, "-m", "har_cli", command]
            # The first run fills caches, such as that of the registry.
            cpu_s, wall_s = zip(*(_run(line) for _ in range(ROUNDS + 1)), strict=True)
            figures |= {f"cli_{name}_s": round(min(cpu_s), 2), f"cli_{name}_wall_s": round(min(wall_s), 2)}
    with console.status("commands: flow runs …"):
        figures |= _flows(project, folder)
    return figures | {"versions": len(project.registry.versions()), "rounds": ROUNDS}


def _run(line: list[str]) -> tuple[float, float]:
    """CPU seconds, of the process and those it started, and seconds by the clock."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s


def _flows(project: Project, folder: Path) -> dict[str, float]:
    """CPU seconds from the start of a process to its first task, as a worker starts one."""
    upload = project.settings.path("inbox") / "2024-01-01" / "s01_a.csv"
    upload.parent.mkdir(parents=True)
    upload.write_text("time\n")
    least = dict.fromkeys(("bare", "ours"), float("inf"))
    with local_server(folder / "prefect"):
        for _ in range(ROUNDS):
            for name, code in (("bare", _BARE), ("ours", _OURS)):
                line = [sys.executable, "-c", code]
                done = subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
                least[name] = min(least[name], float(done.stdout.split()[-1]))
    return {
        "flow_overhead_s": round(least["ours"], 2),
        "flow_bare_s": round(least["bare"], 2),
        "flow_overhead_vs_bare": round(least["ours"] / least["bare"], 2),
    }


def _more_versions(project: Project, count: int) -> None:
    """Register the same run as further versions, in MLflow alone: to train each would take an hour."""
    (first,) = project.registry.versions()
    catalog = project.registry._catalog
    (row,) = catalog.rows()
    source = catalog.client.get_model_version_download_uri(catalog.name, str(first.number))
    for _ in range(count - 1):
        catalog.client.create_model_version(catalog.name, source, row.run_id, tags=row.tags, await_creation_for=0)
