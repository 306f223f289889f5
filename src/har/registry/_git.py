"""The state of the git repository, and a recorded commit checked out in a temporary folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from har.errors import ReproductionError
from har.files import temporary_folder
from har.settings import FILE_NAME

COMMIT_FILE = "COMMIT"
"""In the folder of a project without a repository, such as a container image: the commit that it was built from."""

_RECORDED = re.compile(r"[0-9a-f]{40,64}(-dirty)?")


@dataclass(frozen=True)
class GitState:
    """The commit of the project's files ("": none), and whether tracked or new ones of them differ from it.

    In a larger repository it is the last commit that changed the project.
    """

    commit: str
    dirty: bool

    @property
    def recorded(self) -> str:
        """The commit, with "-dirty" at the end where files differ from it; what `COMMIT_FILE` holds."""
        return f"{self.commit}-dirty" if self.commit and self.dirty else self.commit


def git_state(root: Path) -> GitState:
    """The state of the project that `root` is in, of the files that git does not ignore.

    The project is the nearest folder with a har.toml, at or above `root`; without one, it is the whole repository.
    Without repository or commit, the state is what the project's `COMMIT_FILE` says, or empty.
    """
    project = next((folder for folder in (root, *root.parents) if (folder / FILE_NAME).is_file()), None)
    head = _git(root, "rev-parse", "--verify", "HEAD")
    if head is None or head.returncode:
        return _from_file(project)
    # The project may be a folder of a larger repository: what changes outside of it decides no model.
    scope = ["--", "."] if project else []
    status = _git(project or root, "status", "--porcelain", "--untracked-files=normal", *scope)
    prefix = _git(project or root, "rev-parse", "--show-prefix")
    if project and prefix is not None and prefix.stdout.strip():
        last = _git(project, "log", "-1", "--format=%H", *scope)
        head = last if last is not None and last.stdout.strip() else head
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
    with temporary_folder("reproduce") as parent:
        tree = parent / "source"
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


def _from_file(project: Path | None) -> GitState:
    """What the image of a project was built from."""
    path = project / COMMIT_FILE if project else None
    text = path.read_text(encoding="utf-8").strip() if path and path.is_file() else ""
    if not _RECORDED.fullmatch(text):
        return GitState(commit="", dirty=False)
    return GitState(commit=text.removesuffix("-dirty"), dirty=text.endswith("-dirty"))


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
