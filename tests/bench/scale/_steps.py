"""What `_monitor` measures, each in a process of its own: `python -m tests.bench.scale._steps STEP ROOT`.

Imports come before the clock starts: they do not depend on the history. The last line of the output is JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from mlflow import MlflowClient

from har.jobs.monitor import monitor
from har.monitoring import MonitoredDays
from har.monitoring.profiles import require_whylogs
from har.pages import write_index, write_pages
from har.project import Project, open_project
from har.registry import local_database


def main(step: str, root: str) -> None:
    """Run one step and print its figures."""
    os.environ["HAR_ROOT"] = root
    require_whylogs()
    figures = {"monitor": _monitor, "index": _index, "models": _models}[step](open_project(Path(root)))
    sys.stdout.write(f"\n{json.dumps(figures)}\n")


def _monitor(project: Project) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    report = monitor(project)
    figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    if len(report.days) != 1:
        raise SystemExit(f"expected one new day, but got {len(report.days)}: {report.idle} {report.notes}")
    return figures


def _index(project: Project) -> dict[str, float]:
    """Write the index of days and the page that leads to all pages, with nothing new."""
    folder, title = project.settings.path("reports"), project.settings.project.name
    cpu = time.process_time()
    drift = write_pages(folder, MonitoredDays(project.lake), project.registry.log(), title=title)
    every = write_index(folder, title=title)
    sizes = {"drift_kb": drift.stat().st_size / 1024, "all_kb": every.stat().st_size / 1024}
    return {"cpu_s": time.process_time() - cpu, **{name: round(size, 1) for name, size in sizes.items()}}


def _models(project: Project) -> dict[str, float]:
    """List all versions after a change and without one, and look up the champion."""
    uri = local_database(project.registry.folder)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.set_registered_model_tag(project.registry.name, "bench", str(time.time_ns()))
    figures = {}
    for name in ("changed_s", "unchanged_s"):
        registry = Project(project.settings).registry
        cpu = time.process_time()
        registry.versions()
        registry.log()
        registry.require_agreement()
        figures[name] = time.process_time() - cpu
    cpu = time.process_time()
    for _ in range(10):
        registry.champion()
    return {**figures, "champion_ms": 100 * (time.process_time() - cpu)}


if __name__ == "__main__":
    main(*sys.argv[1:])
