"""Bring the recordings of this commit and ingest the inbox: `dvc pull`, then `har ingest`.

Without recordings under DVC, the inbox is taken as it is. With them, the bytes are fetched, and put into the inbox
unless that would overwrite or remove files that are in no snapshot: those stay, and the inbox is used as it is. Files
that cannot be ingested go to quarantine, as every night; that does not end a delivery.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from har.console import console
from har.errors import HarError, ServerError
from har.jobs.ingest import IngestReport, ingest
from har.project import open_project
from har.snapshots import executable
from infra.delivery._step import run_step

_REFUSES = "without confirmation"
"""What DVC says when it would lose a file that it does not have."""
_MISSING = "do not exist neither locally nor on remote"
"""What DVC says, and ends with 0, when the remote lacks files or is not there."""


def pull(root: Path) -> str:
    """Bring the recordings that this commit names; returns a sentence about what was done.

    Raises:
        HarError: DVC is not installed.
        ServerError: the remote cannot be reached, or lacks a file.
    """
    pointers = tracked_by_dvc(root)
    if not pointers:
        return "No recordings are under DVC: the inbox is taken as it is."
    tool = executable(root)
    if tool is None:
        raise HarError(where="dvc", expected="DVC", got="no such program", remedy="Install it: `make setup`.")
    fetched = _dvc(tool, root, "fetch", *pointers)
    if fetched.returncode or _MISSING in fetched.stdout:
        raise ServerError(
            where=f"dvc fetch {' '.join(pointers)}",
            problem=_last_line(fetched),
            remedy="Check the remote (`dvc remote list`), its credentials (.dvc/config.local) and that the snapshot "
            "was pushed.",
        )
    put = _dvc(tool, root, "checkout", *pointers)
    if put.returncode == 0:
        return f"The recordings of this commit are in place: {', '.join(pointers)}."
    if _REFUSES in put.stdout:
        return (
            "The inbox has files that are in no snapshot: nothing was overwritten, and it is taken as it is. "
            "`har data snapshot` records them."
        )
    raise ServerError(
        where=f"dvc checkout {' '.join(pointers)}", problem=_last_line(put), remedy="Run it by hand to see more."
    )


def tracked_by_dvc(root: Path) -> list[str]:
    """The pointer files that git tracks, relative to the project."""
    if not (root / ".dvc").is_dir():
        return []
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.dvc"], cwd=root, capture_output=True, text=True, check=False
    ).stdout
    return sorted(name for name in listed.split("\0") if name)


def _dvc(tool: str, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "NO_COLOR": "1"}
    return subprocess.run(
        [tool, *words],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    warnings = [line for line in done.stdout.splitlines() if _MISSING in line]
    lines = errors or warnings or done.stdout.strip().splitlines()
    return lines[-1].removeprefix("WARNING: ") if lines else f"ended with {done.returncode}"


def _main() -> int:
    project = open_project()
    console.print(pull(project.settings.root), highlight=False, soft_wrap=True)
    report: IngestReport = ingest(project)
    console.print(report.summary, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_step(_main)
