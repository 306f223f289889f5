"""Measure snapshots of the raw data: the first one, the next day's, and one in which nothing changed.

Writes `reports/snapshot-bench.json`. Beside each, what `dvc add` and `dvc push` need for the same folder.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from har.files import write_atomically
from har.settings import FILE_NAME, Settings, load_settings
from har.snapshots import Snapshots
from har.snapshots._dvc import executable

console = Console()
FIRST = dt.date(2024, 1, 1)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=300)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--kilobytes", type=int, default=200, help="of a file")
    parser.add_argument("--beside", action="store_true", help="measure `dvc add` and `dvc push`, too")
    arguments = parser.parse_args()
    own = load_settings()
    if executable(own.root) is None:
        sys.exit("DVC is not installed: make setup")
    size = arguments.kilobytes * 1000
    with tempfile.TemporaryDirectory(prefix="har-bench-") as folder:
        settings = _project(own, Path(folder) / "project")
        for day in range(arguments.days):
            _day(settings, day, arguments.subjects, size)
        figures: dict[str, float] = {"files": arguments.days * arguments.subjects, "megabytes": _megabytes(settings)}
        steps = {
            "first": lambda: None,
            "next_day": lambda: _day(settings, arguments.days, arguments.subjects, size),
            "nothing_changed": lambda: None,
        }
        for name, prepare in steps.items():
            prepare()
            time.sleep(4)  # as on any day, the files are older than the disk's rounding of times
            figures |= _measured(name, lambda name=name: Snapshots(settings).take(name, who="bench@localhost"))
        if arguments.beside:
            figures |= _beside(settings, arguments.days, arguments.subjects, size)
    path = write_atomically(own.path("reports") / "snapshot-bench.json", json.dumps(figures, indent=1))
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    console.print(table)
    console.print(f"The same figures: {path}")


def _project(own: Settings, root: Path) -> Settings:
    root.mkdir()
    shutil.copy(own.root / FILE_NAME, root)
    shutil.copy(own.root / ".gitignore", root)
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)
    return load_settings(root)


def _day(settings: Settings, number: int, subjects: int, size: int) -> None:
    folder = settings.path("inbox") / (FIRST + dt.timedelta(days=number)).isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    for subject in range(subjects):
        (folder / f"s{subject:02d}_day.csv").write_bytes(os.urandom(size))


def _megabytes(settings: Settings) -> int:
    return sum(path.stat().st_size for path in settings.path("inbox").rglob("*.csv")) // 1_000_000


def _beside(settings: Settings, days: int, subjects: int, size: int) -> dict[str, float]:
    """The same by DVC's own commands, in another project."""
    other = _project(settings, settings.root.parent / "other")
    settings.path("inbox").parent.rename(other.root / "data")
    dvc = executable(settings.root) or "dvc"

    def run(*arguments: str) -> None:
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        subprocess.run([dvc, *arguments], cwd=other.root, env=environment, check=True, stdout=subprocess.DEVNULL)

    run("init", "-q")
    run("remote", "add", "--default", "store", str(other.root.parent / "other-dvc"))

    def add() -> None:
        run("add", "-q", "data/inbox")
        run("push", "-q")

    figures = _measured("dvc_first", add)
    _day(other, days + 1, subjects, size)
    return figures | _measured("dvc_next_day", add) | _measured("dvc_nothing_changed", add)


def _measured(name: str, work: Callable[[], object]) -> dict[str, float]:
    with console.status(f"{name} …"), _cpu() as cpu:
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
    return {f"{name}_s": round(seconds, 1), f"{name}_cpu_s": round(cpu[0], 1)}


@contextlib.contextmanager
def _cpu() -> Iterator[list[float]]:
    """Processor seconds of this process and its children."""

    def used() -> float:
        of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in of)

    before = used()
    taken = [0.0]
    yield taken
    taken[0] = used() - before


if __name__ == "__main__":
    main()
