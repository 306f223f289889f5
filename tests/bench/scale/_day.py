"""One job on a project, in a process of its own: prints its processor and wall seconds, modules being imported before.

python -m tests.bench.scale._day <job> <root>
"""

from __future__ import annotations

import cProfile
import io
import json
import os
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.tracking  # noqa: F401  which the registry imports when it is first used

from har.console import console
from har.jobs.collect import collect
from har.jobs.ingest import ingest
from har.jobs.score import score
from har.monitoring.profiles import require_whylogs
from har.project import Project, open_project
from har_cli.project import status


def _status(_: Project) -> None:
    status()


JOBS: dict[str, Callable[[Project], Any]] = {
    "ingest": ingest,
    "score": score,
    "collect": collect,
    "status": _status,
}


def main(job: str, root: Path) -> None:
    """Run it; with HAR_BENCH_PROFILE set, also print where the time went, to stderr."""
    os.environ["HAR_ROOT"] = str(root)
    console.quiet = True
    require_whylogs()
    open_project(root).registry.versions()  # MLflow reads its modules when it is first used
    profile = cProfile.Profile() if os.environ.get("HAR_BENCH_PROFILE") else None
    began, cpu = time.perf_counter(), time.process_time()
    if profile:
        profile.enable()
    result = JOBS[job](open_project(root))
    if profile:
        profile.disable()
    figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - began}
    print()
    print(json.dumps(figures | {"result": str(getattr(result, "summary", ""))}))
    if profile:
        text = io.StringIO()
        pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats(60)
        print(text.getvalue(), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
