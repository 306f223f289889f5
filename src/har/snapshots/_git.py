"""The pointers in git: committed alone, whatever else is staged or changed, and read from any commit."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from har.errors import SnapshotError

_ELSEWHERE = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""Variables by which a hook that calls us would lead git to another repository or index."""
_TRIES = 3
_UNITS = "\x1f"


@dataclass(frozen=True)
class Commit:
    """A commit that changed a pointer: its hash, ISO date and subject."""

    hash: str
    date: str
    subject: str


class Repository:
    """The git repository that the project is in, or is.

    Raises:
        SnapshotError: there is no git, or no repository here.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        top = self._run("rev-parse", "--show-toplevel")
        if top is None or top.returncode:
            said = "no git command" if top is None else _last_line(top.stderr)
            make = "Make one in the project's folder: git init && git add --all && git commit -m 'As it is'."
            absent = "not a git repository" in said
            raise SnapshotError(
                where=str(root),
                expected="a git repository, which keeps the pointers to the data",
                got="none" if absent else said,
                remedy="Install git." if top is None else make if absent else "Mend what git names: git status.",
            )
        self.top = Path(top.stdout.removesuffix("\n"))
        self._prefix = self._text("rev-parse", "--show-prefix").removesuffix("\n")

    def path(self, name: str) -> Path:
        """A file in git's own folder, of this checkout."""
        return (self._root / self._text("rev-parse", "--git-path", name).strip()).resolve()

    def resolve(self, commit: str) -> str:
        """The full hash of a commit.

        Raises:
            SnapshotError: there is no such commit.
        """
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
        if found is None or found.returncode:
            raise SnapshotError(
                where=f"commit {commit}",
                expected="a commit of this repository",
                got="none",
                remedy="`har data list` shows the snapshots; `git fetch --all` brings those of other clones.",
            )
        return found.stdout.strip()

    def require_a_commit(self) -> None:
        """Refuse a repository without a commit.

        Raises:
            SnapshotError: it has none.
        """
        if not self.head():
            raise SnapshotError(
                where=str(self.top),
                expected="a repository with a commit",
                got="none yet",
                remedy="Commit the project first: git add --all && git commit -m 'As it is'.",
            )

    def require_a_branch(self) -> None:
        """Refuse to commit where the commit would be lost.

        Raises:
            SnapshotError: no branch is checked out.
        """
        branch = self._run("symbolic-ref", "--quiet", "HEAD")
        if branch is None or branch.returncode:
            raise SnapshotError(
                where=str(self.top),
                expected="a branch, to which the snapshot's commit is added",
                got="a detached HEAD",
                remedy="Change to one: git switch BRANCH (git switch -c NAME for a new one).",
            )

    def head(self) -> str:
        """The commit that is checked out; "": none."""
        found = self._run("rev-parse", "--verify", "--quiet", "HEAD")
        return "" if found is None or found.returncode else found.stdout.strip()

    def is_ignored(self, path: PurePosixPath) -> bool:
        """Whether git ignores a path of the project, tracked or not."""
        found = self._run("check-ignore", "--quiet", "--no-index", "--", str(path))
        return found is not None and found.returncode == 0

    def show(self, commit: str, paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
        """The content of the project's files at a commit; files that it lacks are missing."""
        return self.show_all([commit], paths).get(commit, {})

    def show_all(self, commits: Sequence[str], paths: Iterable[PurePosixPath]) -> dict[str, dict[PurePosixPath, str]]:
        """As `show`, for many commits at once."""
        asked = [(commit, path) for commit in commits for path in paths]
        wanted = "".join(f"{commit}:{self._prefix}{path}\n" for commit, path in asked)
        shown: dict[str, dict[PurePosixPath, str]] = {}
        answer = self._bytes("cat-file", "--batch", text=wanted)
        if answer is None or answer.returncode:
            return shown
        output = answer.stdout
        for commit, path in asked:
            header, _, output = output.partition(b"\n")
            if not header.endswith(b" missing"):
                size = int(header.rsplit(b" ", 1)[1])
                content, output = output[:size], output[size + 1 :]
                shown.setdefault(commit, {})[path] = content.decode("utf-8", "replace")
        return shown

    def log(self, paths: Iterable[PurePosixPath], *, everywhere: bool = False) -> list[Commit]:
        """The commits that changed these files, newest first: those before HEAD, or of all branches."""
        if not self.head():
            return []
        form = f"--format=%H{_UNITS}%cI{_UNITS}%s"
        text = self._text("log", form, *(["--all", "HEAD"] if everywhere else []), "--", *map(str, paths))
        return [Commit(*line.split(_UNITS, 2)) for line in text.splitlines() if line]

    def commit(self, files: Mapping[PurePosixPath, str], message: str, *, who: str) -> str:
        """Commit these files of the project, and nothing else; returns the commit, the present one if nothing changed.

        The user's index, working tree and hooks have no part in it, so a merge, staged changes or a lock of another git
        command do no harm. Afterwards the index has the committed files.

        Args:
            files: path to content.
            message: of the commit.
            who: the author where git has no identity.

        Raises:
            SnapshotError: git refuses.
        """
        for _ in range(_TRIES):
            parent = self.head()
            tree = self._tree(parent, files)
            if tree == self._text("rev-parse", f"{parent}^{{tree}}").strip():
                return parent
            made = self._text("commit-tree", tree, "-p", parent, text=message, who=who).strip()
            moved = self._run("update-ref", "-m", f"commit: {message.splitlines()[0]}", "HEAD", made, parent)
            if moved is not None and moved.returncode == 0:
                return made
            if self.head() == parent:  # else somebody has committed meanwhile
                raise self._refused("update-ref", moved)
        raise self._refused("update-ref", moved)

    def not_in_index(self, paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
        """Those of the files that the user's index lacks."""
        paths = list(paths)
        known = self._run("ls-files", "--", *map(str, paths))
        listed = set(known.stdout.splitlines()) if known is not None else set()
        return [path for path in paths if str(path) not in listed]

    def refresh(self, files: Iterable[PurePosixPath]) -> str:
        """Let the user's index have these files as HEAD has them; returns why not, or ""."""
        reset = self._run("reset", "--quiet", "--", *map(str, files))
        return "" if reset is not None and reset.returncode == 0 else _last_line(reset.stderr if reset else "no git")

    def _tree(self, parent: str, files: Mapping[PurePosixPath, str]) -> str:
        with tempfile.TemporaryDirectory(prefix="har-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._text("read-tree", parent, more=index)
            for path, content in files.items():
                blob = self._text("hash-object", "-w", "--stdin", text=content).strip()
                entry = f"100644,{blob},{self._prefix}{path}"
                self._text("update-index", "--add", "--cacheinfo", entry, more=index)
            return self._text("write-tree", more=index).strip()

    def _text(self, *arguments: str, text: str = "", who: str = "", more: Mapping[str, str] | None = None) -> str:
        more = {**(more or {}), **(self._identity(who) if who else {})}
        done = self._run(*arguments, text=text, more=more)
        if done is None or done.returncode:
            raise self._refused(arguments[0], done)
        return done.stdout

    def _identity(self, who: str) -> dict[str, str]:
        """An author for machines and people without one in git's configuration."""
        known = self._run("var", "GIT_COMMITTER_IDENT")
        if known is not None and known.returncode == 0:
            return {}
        name, _, host = who.partition("@")
        email = f"{name or 'har'}@{host or 'localhost'}"
        return {
            key: value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in ((f"GIT_{role}_NAME", name or "har"), (f"GIT_{role}_EMAIL", email))
        }

    def _run(
        self, *arguments: str, text: str = "", more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str] | None:
        """Run a git command in the project's folder; None: there is no git, or no folder."""
        done = self._bytes(*arguments, text=text, more=more)
        if done is None:
            return None
        output, errors = (part.decode("utf-8", "surrogateescape") for part in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, output, errors)

    def _bytes(
        self, *arguments: str, text: str, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes] | None:
        kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        try:
            return subprocess.run(
                ["git", "-C", str(self._root), *arguments],
                input=text.encode("utf-8", "surrogateescape"),
                capture_output=True,
                env={**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(more or {})},
                check=False,
            )
        except OSError:
            return None

    def _refused(self, command: str, done: subprocess.CompletedProcess[str] | None) -> SnapshotError:
        return SnapshotError(
            where=str(self.top),
            problem=f"git {command} failed: {_last_line(done.stderr) if done else 'no git command'}",
            remedy="Mend that and take the snapshot again: what was copied and sent is kept.",
        )


def _last_line(text: str) -> str:
    """What git said at last, or its last complaint; advice may follow that."""
    lines = text.strip().splitlines()
    complaints = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    return (complaints or lines or ["no message"])[-1].removeprefix("fatal: ").removeprefix("error: ")
