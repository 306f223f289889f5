"""The state of the git repository, and a recorded commit checked out in a temporary folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from har.errors import ReproductionError


@dataclass(frozen=True)
class GitState:
    """The checked-out commit ("" if there is none) and whether tracked or new files differ from it."""

    commit: str
    dirty: bool


def git_state(root: Path) -> GitState:
    """The state of the repository around `root`; empty without git, repository or commit."""
    head = _git(root, "rev-parse", "--verify", "HEAD")
    if head is None or head.returncode:
        return GitState(commit="", dirty=False)
    status = _git(root, "status", "--porcelain")
    return GitState(
        commit=head.stdout.strip(), dirty=status is None or bool(status.returncode or status.stdout.strip())
    )


@contextmanager
def worktree(root: Path, commit: str) -> Iterator[Path]:
    """Check out the project at `commit` in a temporary folder, which is removed at the end.

    Raises:
        ReproductionError: no git, no repository, or no such commit in it.
    """
    prefix = _git(root, "rev-parse", "--show-prefix")
    if prefix is None or prefix.returncode:
        raise ReproductionError(
            where=str(root),
            expected=f"the git repository that holds commit {commit}",
            got="no git command" if prefix is None else "no repository",
            remedy="Clone the project with git and reproduce there.",
        )
    found = _git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    if found is None or found.returncode:
        raise ReproductionError(
            where=str(root),
            expected=f"commit {commit}, which the version was trained from",
            got="no such commit in this repository",
            remedy="Fetch it: `git fetch --unshallow` in a shallow clone, `git fetch --all` otherwise.",
        )
    with tempfile.TemporaryDirectory(prefix="har-reproduce-") as parent:
        tree = Path(parent) / "source"
        try:
            # The user's hooks must not run for a temporary checkout.
            added = _git(root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", str(tree), commit)
            if added is None or added.returncode:
                raise ReproductionError(
                    where=str(root),
                    expected=f"commit {commit} checked out in {tree}",
                    got=_last_line(added.stderr if added else "no git command"),
                    remedy="Check that the repository and the temporary folder are writable.",
                )
            yield tree / prefix.stdout.strip()
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))
            shutil.rmtree(tree, ignore_errors=True)
            _git(root, "worktree", "prune")


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run a git command; None if git or the folder is missing."""
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, errors="replace", check=False
        )
    except OSError:
        return None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
